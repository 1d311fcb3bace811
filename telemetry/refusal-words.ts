/** A reason of a refusal in words, and what can be done about it. */
interface ReasonWords {
  readonly words: string;
  readonly remedy: string;
}

const NEW_SECRET = 'Give the device the sensor’s secret, or the sensor a new one.';
const WORDS: Readonly<Record<string, ReasonWords>> = {
  wrong_password: { words: 'wrong password', remedy: NEW_SECRET },
  no_password: { words: 'no password', remedy: NEW_SECRET },
  no_credentials: { words: 'neither user name nor password', remedy: 'Set user name and password of the device.' },
  unknown_name: { words: 'unknown name', remedy: 'Correct the device’s user name, or register a sensor of that name.' },
  unknown_secret: { words: 'unknown secret', remedy: NEW_SECRET },
  secret_as_name: { words: 'secret given as user name', remedy: 'User name and password of the device are exchanged.' },
  no_such_sensor: {
    words: 'certificate of an unknown sensor',
    remedy: 'Register the sensor that the certificate names.',
  },
  ambiguous_common_name: {
    words: 'certificate whose name several farms have',
    remedy: 'Let the certificate name FARM/ID, or write `cn: id` to the sensor that it means.',
  },
  other_user_name: {
    words: 'user name of another sensor than the certificate',
    remedy: 'Leave the device’s user name empty, or set it to the certificate’s.',
  },
  revoked_certificate: {
    words: 'revoked certificate',
    remedy: 'Give the device a new certificate, or the sensor’s secret.',
  },
  ended_certificate: {
    words: 'certificate that has ended',
    remedy: 'Give the device a new certificate. Is this machine’s clock right?',
  },
  wrong_answer: { words: 'wrong answer to a command', remedy: 'Look for a newer firmware of the device.' },
  certificate: { words: 'certificate that is not signed', remedy: 'Have it signed by the CA in LOAM_TLS_CA.' },
  tls: { words: 'no TLS connection', remedy: 'Does the device trust the server’s certificate, and speak TLS 1.2?' },
  client_id: { words: 'client id', remedy: 'Set a client id of 1 to 256 characters, or clean session.' },
  will: { words: 'last will', remedy: 'Turn the device’s last will off, or set its topic to the sensor’s own.' },
  protocol: { words: 'another version of MQTT', remedy: 'Set the device to MQTT 3.1.1.' },
  malformed: { words: 'not as MQTT 3.1.1 says', remedy: 'Look for a newer firmware of the device.' },
  not_mqtt: {
    words: 'not MQTT',
    remedy: 'Does the device speak MQTT to this port, with TLS only where it is expected?',
  },
  too_large: { words: 'too large', remedy: 'Let the device send less at a time, or raise LOAM_PAYLOAD_KB.' },
  too_many_connections: {
    words: 'too many connections',
    remedy: 'See LOAM_MQTT_CONNECTIONS and LOAM_MQTT_CONNECTIONS_PER_ADDRESS.',
  },
  same_client_id: {
    words: 'same client id',
    remedy: 'If it goes on, two devices have one client id: give each its own.',
  },
  unknown_user: { words: 'unknown user', remedy: '' },
  wrong_token: { words: 'wrong token', remedy: '' },
  too_many_attempts: { words: 'too many attempts', remedy: '' },
  many: { words: 'many more', remedy: '' },
};

/** The reasons that Loam gives. */
export const REFUSAL_REASONS: readonly string[] = Object.keys(WORDS);

/** A reason that another version of Loam wrote stays as it is. */
export function refusalWords(why: string): ReasonWords {
  return WORDS[why] ?? { words: why.replaceAll('_', ' '), remedy: '' };
}

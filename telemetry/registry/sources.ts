import { z } from 'zod';
import { ID } from '../reading.ts';
import { clockPolicy } from '../reading-rules-schema.ts';
import { sealed } from './sealed.ts';

const path = z.string().min(1).max(4_096);

/** An MQTT topic filter: `+` is a whole level, `#` is only the last one. */
const filter = z
  .string()
  .min(1)
  .max(1_024)
  .refine(
    (text) => !text.includes('\0') && /^([^+#/]*|\+)(\/([^+#/]*|\+))*(\/#)?$|^#$/.test(text),
    'not an MQTT filter',
  );

/**
 * Another MQTT broker that Loam connects to and takes readings from, for one farm. The password is sealed, or it is in a
 * file or in an environment variable; keys and certificates are files in PEM.
 */
export const sourceSchema = z
  .strictObject({
    id: z.string().regex(ID, 'an id is 1 to 64 letters, digits, _ . : or -, and begins with a letter or digit'),
    farm: z.string().regex(ID),
    url: z
      .string()
      .regex(
        /^mqtts?:\/\/(?:\[[\dA-Fa-f:.]+\]|[^/@?#;%:[\]\s]+)(?::\d{1,5})?$/,
        'not mqtt://HOST:PORT or mqtts://HOST:PORT (user name and password have keys of their own)',
      ),
    username: z.string().max(256).optional(),
    password: sealed(),
    passwordFile: path.optional(),
    passwordVariable: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'not the name of an environment variable')
      .optional(),
    /** The client id at the other broker. When left out, it is `loam-` and the source's id. */
    clientId: z.string().min(1).max(128).optional(),
    topics: z.array(filter).min(1).max(50),
    ca: path.optional(),
    cert: path.optional(),
    key: path.optional(),
    /** Whose clock dates what comes through it, where the sensor itself does not say so. */
    clock: clockPolicy.optional(),
  })
  .refine(
    (s) => [s.password, s.passwordFile, s.passwordVariable].filter((given) => given !== undefined).length <= 1,
    'only one of password, passwordFile and passwordVariable',
  )
  .refine((s) => (s.cert === undefined) === (s.key === undefined), 'cert and key belong together')
  .refine(
    (s) => s.url.startsWith('mqtts:') || (s.ca === undefined && s.cert === undefined),
    'ca, cert and key are for mqtts://',
  );

export type Source = z.infer<typeof sourceSchema>;

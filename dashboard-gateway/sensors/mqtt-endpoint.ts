import { telemetryTopic } from '../../telemetry/topic.ts';

/** Where sensors reach the broker. */
export interface MqttEndpoint {
  /** `0.0.0.0` and `::` stand for any name by which the machine is reached. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** How one sensor connects and publishes. */
export interface SensorConnection extends MqttEndpoint {
  readonly username: string;
  readonly topic: string;
  /** A line for a shell that publishes a first reading, with `SECRET` where the secret goes. */
  readonly command: string;
}

/** Reads `mqtt://HOST:PORT` or `mqtts://HOST:PORT`. Without an address, the broker is on the gateway's own machine, on `port`. */
export function mqttEndpoint(address: string | undefined, port: number): MqttEndpoint {
  if (address === undefined) return { host: '0.0.0.0', port, tls: false };
  const url = new URL(address);
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port), tls: url.protocol === 'mqtts:' };
}

/**
 * The endpoint to show to a client. For `0.0.0.0` and `::` it has the name in `hostHeader`, by which the client reached
 * the gateway.
 */
export function endpointFor({ host, ...rest }: MqttEndpoint, hostHeader: string): MqttEndpoint {
  const isAny = host === '0.0.0.0' || host === '::';
  const asked = URL.canParse(`http://${hostHeader}`) ? new URL(`http://${hostHeader}`).hostname : '127.0.0.1';
  return { host: isAny ? asked.replace(/^\[|\]$/g, '') : host, ...rest };
}

/** How sensor `id` of `farm` connects to an endpoint. */
export function connectionOf(endpoint: MqttEndpoint, farm: string, id: string): SensorConnection {
  const { host, port, tls } = endpoint;
  const topic = telemetryTopic(farm, id);
  const encrypted = tls ? ' --capath /etc/ssl/certs' : '';
  const command = `mosquitto_pub -h ${host} -p ${port}${encrypted} -i ${id} -u ${id} -P SECRET -q 1 -t ${topic} -m '{"soil_moisture": 31.2}'`;
  return { ...endpoint, username: id, topic, command };
}

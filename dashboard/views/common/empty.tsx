import { known } from '../../state/farms.ts';
import { Command } from './copy.tsx';
import { Notice } from './notice.tsx';

export function NoSensor({ farm, admin }: { farm: string; admin: boolean }) {
  return (
    <Notice title="This farm has no sensor yet">
      {admin ? (
        <p>
          <a class="button button-main" href={`/farms/${encodeURIComponent(farm)}/sensors`}>
            Add the first sensor
          </a>
        </p>
      ) : (
        <p>An administrator of this farm can add the first one under Sensors.</p>
      )}
      <p>Or on the machine where Loam runs:</p>
      <Command>{`loam sensor add SENSOR --farm ${farm}`}</Command>
      <p>Then let it send its first reading; SECRET is what the line above answered:</p>
      <Command>{publishLine(farm, 'SENSOR', 'SECRET')}</Command>
      <p class="quiet">It appears here by itself.</p>
    </Notice>
  );
}

export function HowToConnect({ farm, sensor }: { farm: string; sensor: string }) {
  return (
    <Notice title="No sensor has reported yet">
      <p>
        To try the way from sensor to screen, send a reading yourself. SECRET is what Loam showed when the sensor was
        added:
      </p>
      <Command>{publishLine(farm, sensor, 'SECRET')}</Command>
      <p class="quiet">The value appears here by itself.</p>
    </Notice>
  );
}

/** The line that publishes one reading as `sensor`, as a terminal takes it. */
export function publishLine(farm: string, sensor: string, secret: string): string {
  const topic = `farms/${farm}/sensors/${sensor}/telemetry`;
  const { host, port, tls } = known.value?.mqtt ?? { host: window.location.hostname, port: 1883, tls: false };
  const encrypted = tls ? ' --capath /etc/ssl/certs' : '';
  return `mosquitto_pub -h ${host} -p ${port}${encrypted} -i ${sensor} -u ${sensor} -P ${secret} -q 1 \\\n  -t ${topic} \\\n  -m '{"soil_moisture": 31.2}'`;
}

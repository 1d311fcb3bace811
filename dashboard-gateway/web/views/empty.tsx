import { Notice } from './notice.tsx';

export function NoSensor({ farm }: { farm: string }) {
  return (
    <Notice title="This farm has no sensor yet">
      <p>Register one on the machine where Loam runs. It answers with the sensor’s secret:</p>
      <Command>{`loam sensor add SENSOR --farm ${farm}`}</Command>
      <p>Then let it send its first reading:</p>
      <Command>{publish(farm, 'SENSOR')}</Command>
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
      <Command>{publish(farm, sensor)}</Command>
      <p class="quiet">The value appears below by itself.</p>
    </Notice>
  );
}

function Command({ children }: { children: string }) {
  return (
    <pre class="command">
      <code>{children}</code>
    </pre>
  );
}

function publish(farm: string, sensor: string): string {
  const topic = `farms/${farm}/sensors/${sensor}/telemetry`;
  const host = window.location.hostname;
  return `mosquitto_pub -h ${host} -p 1883 -u ${sensor} -P SECRET -q 1 \\\n  -t ${topic} \\\n  -m '{"soil_moisture": 31.2}'`;
}

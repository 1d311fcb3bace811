import './styles/base.css';
import './styles/frame.css';
import './styles/notices.css';
import './styles/forms.css';
import './styles/sensors.css';
import './styles/values.css';
import './styles/chart.css';
import { render } from 'preact';
import { startDevice } from './state/device.ts';
import { startFarms } from './state/farms.ts';
import { startRouter } from './state/router.ts';
import { startSensors } from './state/sensors.ts';
import { startSession } from './state/session.ts';
import { App } from './views/app.tsx';

const root = document.getElementById('app');
if (root) {
  startDevice();
  startRouter();
  startSensors();
  startFarms();
  void startSession();
  render(<App />, root);
}

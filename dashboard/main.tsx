import './styles/tokens.css';
import './styles/base.css';
import './styles/tones.css';
import './styles/page.css';
import './styles/frame.css';
import './styles/parts.css';
import './styles/farm.css';
import './styles/plan.css';
import './styles/cards.css';
import './styles/controls.css';
import './styles/chart.css';
import './styles/playback.css';
import './styles/forms.css';
import './styles/tables.css';
import './styles/pages.css';
import './styles/print.css';
import { render } from 'preact';
import { startDevice } from './state/device.ts';
import { startFarms } from './state/farms.ts';
import { startHealth } from './state/health.ts';
import { startRefusals } from './state/refusals.ts';
import { startRouter } from './state/router.ts';
import { startSensors } from './state/sensors.ts';
import { startSession } from './state/session.ts';
import { startSettings } from './state/settings.ts';
import { App } from './views/frame/app.tsx';

const root = document.getElementById('app');
if (root) {
  startDevice();
  startRouter();
  startSettings();
  startSensors();
  startFarms();
  startRefusals();
  startHealth();
  void startSession();
  render(<App />, root);
}

import { useState } from 'preact/hooks';
import { getLetter, type Letter, settleLetter, type Whose } from '../../api/letters.ts';
import { formatMoment } from '../../format/time.ts';
import { locale, slowNow } from '../../state/device.ts';
import { zone } from '../../state/farms.ts';
import { addressOf } from '../../state/routes.ts';
import { sensors } from '../../state/sensors.ts';
import { Confirm } from '../common/dialog.tsx';
import { inWords } from '../common/form.tsx';
import { reasonInWords } from './reasons.ts';

interface LetterProps {
  readonly whose: Whose;
  readonly letter: Letter;
  readonly done: (words: string) => void;
}

/** One message: why it could not be read, what it was, and what can be done with it. */
export function LetterCard({ whose, letter, done }: LetterProps) {
  const { offset, at, sensor, reason, explanation, state, settled } = letter;
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const [asking, setAsking] = useState(false);
  const settle = async (how: 'replay' | 'discard', words: string) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await settleLetter(whose, offset, how);
      done(words);
    } catch (error) {
      setFailure(inWords(error));
    }
    setBusy(false);
    setAsking(false);
  };
  const replay = () =>
    void settle(
      'replay',
      'Replayed: it goes the whole way again. If it still cannot be read, it comes back as a new one.',
    );
  return (
    <li class="letter" data-letter={offset}>
      <header class="letter-head">
        <h2>{reasonInWords(reason)}</h2>
        <p class="quiet">
          {whose !== undefined && sensor !== '' && (
            <a href={addressOf({ page: 'sensor', farm: whose, sensor, range: { last: '24h' } })}>
              {sensors.value.get(sensor)?.peek().name ?? sensor}
            </a>
          )}{' '}
          {formatMoment(at, slowNow.value, locale, zone.value)}
        </p>
      </header>
      {explanation && <p>{explanation.replace(/^\$(: |\.)/, '')}</p>}
      <Payload whose={whose} letter={letter} />
      {settled && (
        <p class="quiet">
          {state === 'replayed' ? 'Replayed' : 'Discarded'}{' '}
          {formatMoment(settled.at, slowNow.value, locale, zone.value)}
          {settled.by && ` by ${settled.by}`}
        </p>
      )}
      {failure && (
        <p class="form-failure" role="alert">
          {failure}
        </p>
      )}
      {state !== 'replayed' && (
        <div class="buttons">
          <button type="button" class="button-main" disabled={busy} onClick={replay}>
            Replay
          </button>
          {state === 'open' && (
            <button type="button" disabled={busy} onClick={() => setAsking(true)}>
              Discard
            </button>
          )}
        </div>
      )}
      {asking && (
        <Confirm
          title="Discard this message?"
          act="Discard"
          {...{ busy, failure }}
          onAct={() => void settle('discard', 'Discarded. It is kept for a while and can still be replayed.')}
          onClose={() => setAsking(false)}
        >
          <p>It is the only copy of what the sensor sent.</p>
        </Confirm>
      )}
    </li>
  );
}

function Payload({ whose, letter }: { whose: Whose; letter: Letter }) {
  const [whole, setWhole] = useState<string | undefined>(undefined);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const { offset, topic, payload, encoding, size, cut } = letter;
  const showAll = async () => {
    try {
      setWhole((await getLetter(whose, offset, new AbortController().signal)).payload);
    } catch (error) {
      setFailure(inWords(error));
    }
  };
  return (
    <details>
      <summary>What was sent</summary>
      <p class="quiet">
        {size} bytes{topic && ` to ${topic}`}
        {encoding === 'hex' && ', in hexadecimal'}
      </p>
      <pre class="payload">{whole ?? (payload === '' ? '(nothing)' : payload)}</pre>
      {cut && whole === undefined && (
        <button type="button" onClick={() => void showAll()}>
          Show all of it
        </button>
      )}
      {failure && <p role="alert">{failure}</p>}
    </details>
  );
}

import type { Signal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { deleteSensor, type NewSecret, type NewSensor, postSecret, postSensor, putSensor } from '../../api/admin.ts';
import type { ApiFarm, Corner } from '../../api/shapes.ts';
import { infoOf, reloadSensors, sensors } from '../../state/sensors.ts';
import { Command } from '../common/copy.tsx';
import { Confirm, Dialog } from '../common/dialog.tsx';
import { entered, inWords, useSubmit } from '../common/form.tsx';

/** What the admin is doing with which sensor. */
export type Task =
  | { readonly kind: 'add' }
  | { readonly kind: 'edit' | 'secret' | 'remove'; readonly sensor: string }
  | { readonly kind: 'told'; readonly sensor: string; readonly secret: NewSecret };

interface TasksProps {
  readonly farm: ApiFarm;
  readonly task: Signal<Task | undefined>;
}

export function Tasks({ farm, task }: TasksProps) {
  const { value } = task;
  if (value === undefined) return null;
  const close = () => {
    task.value = undefined;
  };
  const tell = (sensor: string, secret: NewSecret) => {
    reloadSensors();
    task.value = { kind: 'told', sensor, secret };
  };
  const done = () => {
    reloadSensors();
    close();
  };
  switch (value.kind) {
    case 'add':
      return <AddForm farm={farm} close={close} tell={tell} />;
    case 'edit':
      return <EditForm farm={farm} sensor={value.sensor} close={close} done={done} />;
    case 'secret':
      return <Replace farm={farm} sensor={value.sensor} close={close} tell={tell} />;
    case 'remove':
      return <Remove farm={farm} sensor={value.sensor} close={close} done={done} />;
    case 'told':
      return <Told sensor={value.sensor} secret={value.secret} close={close} />;
  }
}

function nameOf(sensor: string): string {
  return sensors.value.get(sensor)?.peek().name ?? sensor;
}

interface AddProps {
  readonly farm: ApiFarm;
  readonly close: () => void;
  readonly tell: (sensor: string, secret: NewSecret) => void;
}

function AddForm({ farm, close, tell }: AddProps) {
  const { busy, failure, submit } = useSubmit(async (form) => {
    const id = entered(form, 'id').trim();
    tell(id, await postSensor(farm.id, id, described(form)));
  }, '');
  return (
    <Dialog title="Add a sensor" onClose={close}>
      <form class="form" onSubmit={submit}>
        <label>
          Id
          <input
            name="id"
            required
            maxLength={64}
            pattern="[A-Za-z0-9][A-Za-z0-9_.:\-]*"
            title="Letters, digits, and _ . : -"
            autocapitalize="none"
            autocomplete="off"
            spellcheck={false}
            aria-describedby="id-hint"
          />
        </label>
        <p id="id-hint" class="quiet">
          What it signs in with, such as probe-12 or the device EUI. It cannot be changed later.
        </p>
        <Described farm={farm} sensor={undefined} />
        <Ending failure={failure} busy={busy} act="Add" close={close} />
      </form>
    </Dialog>
  );
}

interface EditProps {
  readonly farm: ApiFarm;
  readonly sensor: string;
  readonly close: () => void;
  readonly done: () => void;
}

function EditForm({ farm, sensor, close, done }: EditProps) {
  const { busy, failure, submit } = useSubmit(async (form) => {
    await putSensor(farm.id, sensor, described(form));
    done();
  }, '');
  return (
    <Dialog title={`Change ${nameOf(sensor)}`} onClose={close}>
      <form class="form" onSubmit={submit}>
        <Described farm={farm} sensor={sensor} />
        <Ending failure={failure} busy={busy} act="Save" close={close} />
      </form>
    </Dialog>
  );
}

function Described({ farm, sensor }: { farm: ApiFarm; sensor: string | undefined }) {
  const info = sensor === undefined ? undefined : infoOf(sensor);
  const [latitude = '', longitude = ''] = info?.position ?? [];
  return (
    <>
      <label>
        Name
        <input
          name="name"
          maxLength={200}
          defaultValue={info?.name === info?.id ? '' : (info?.name ?? '')}
          placeholder="Row 3, by the gate"
        />
      </label>
      <label>
        Field
        <select name="field" defaultValue={info?.field ?? farm.fields[0]?.id ?? 'unassigned'}>
          {farm.fields.map((f) => (
            <option key={f.id} value={f.id} selected={f.id === (info?.field ?? farm.fields[0]?.id)}>
              {f.name}
            </option>
          ))}
          {!farm.fields.some((f) => f.id === 'unassigned') && (
            <option value="unassigned" selected={info?.field === 'unassigned'}>
              Not assigned to a field
            </option>
          )}
        </select>
      </label>
      <label>
        Reports every (seconds)
        <input
          name="interval"
          type="number"
          min={1}
          max={2_678_400}
          required
          defaultValue={`${info?.interval ?? 600}`}
        />
      </label>
      <div class="form-pair">
        <label>
          Latitude
          <input
            name="latitude"
            inputMode="decimal"
            pattern="-?\d+(\.\d+)?"
            title="Degrees, such as 52.4101"
            defaultValue={`${latitude}`}
          />
        </label>
        <label>
          Longitude
          <input
            name="longitude"
            inputMode="decimal"
            pattern="-?\d+(\.\d+)?"
            title="Degrees, such as 12.9793"
            defaultValue={`${longitude}`}
          />
        </label>
      </div>
      <label class="check">
        <input type="checkbox" name="bridge" defaultChecked={info?.role === 'bridge'} />
        It passes on readings of other sensors (a bridge or network server)
      </label>
    </>
  );
}

function described(form: FormData): NewSensor {
  const name = entered(form, 'name').trim();
  const position = positionIn(form);
  return {
    field: entered(form, 'field'),
    interval: Number(entered(form, 'interval')),
    role: form.get('bridge') === null ? 'sensor' : 'bridge',
    ...(name === '' ? {} : { name }),
    ...(position === undefined ? {} : { position }),
  };
}

function positionIn(form: FormData): Corner | undefined {
  const [latitude, longitude] = [entered(form, 'latitude').trim(), entered(form, 'longitude').trim()];
  return latitude === '' || longitude === '' ? undefined : [Number(latitude), Number(longitude)];
}

interface EndingProps {
  readonly failure: string | undefined;
  readonly busy: boolean;
  readonly act: string;
  readonly close: () => void;
}

function Ending({ failure, busy, act, close }: EndingProps) {
  return (
    <>
      {failure && (
        <p class="form-failure" role="alert">
          {failure}
        </p>
      )}
      <div class="buttons">
        <button type="submit" class="button-main" disabled={busy}>
          {busy ? 'One moment …' : act}
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
    </>
  );
}

interface OneProps {
  readonly farm: ApiFarm;
  readonly sensor: string;
  readonly close: () => void;
}

function Replace({ farm, sensor, close, tell }: OneProps & { tell: AddProps['tell'] }) {
  const { busy, failure, act } = useAct(async () => tell(sensor, await postSecret(farm.id, sensor)));
  return (
    <Confirm
      title={`Replace ${nameOf(sensor)}?`}
      act="Make a new secret"
      {...{ busy, failure }}
      onAct={act}
      onClose={close}
    >
      <p>
        For a new device in its place. It gets a new secret; the old device can no longer send. The history stays with
        the id <b>{sensor}</b>.
      </p>
    </Confirm>
  );
}

function Remove({ farm, sensor, close, done }: OneProps & { done: () => void }) {
  const { busy, failure, act } = useAct(async () => {
    await deleteSensor(farm.id, sensor);
    done();
  });
  return (
    <Confirm title={`Remove ${nameOf(sensor)}?`} act="Remove" {...{ busy, failure }} onAct={act} onClose={close}>
      <p>
        It can no longer send, and leaves every list. What it measured is kept, and is there again if a sensor with the
        id <b>{sensor}</b> is added.
      </p>
    </Confirm>
  );
}

function useAct(work: () => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const run = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await work();
    } catch (error) {
      setFailure(inWords(error));
      setBusy(false);
    }
  };
  return { busy, failure, act: () => void run() };
}

function Told({ sensor, secret, close }: { sensor: string; secret: NewSecret; close: () => void }) {
  return (
    <Dialog title={`${nameOf(sensor)} can connect`} onClose={close}>
      <p>
        <b>Its secret is shown this once.</b> Put it into the device, with the id <b>{sensor}</b> as username:
      </p>
      <Command>{secret.secret}</Command>
      <p>Or try it from a terminal:</p>
      <Command>{secret.command.replaceAll('SECRET', secret.secret)}</Command>
      <p class="quiet">It publishes to {secret.topic}.</p>
      <div class="buttons">
        <button type="button" class="button-main" onClick={close}>
          Done
        </button>
      </div>
    </Dialog>
  );
}

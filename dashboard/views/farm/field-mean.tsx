import type { ApiFarm } from '../../api/shapes.ts';
import { metricOf } from '../../state/farms.ts';
import type { FieldSensors } from '../../state/fields.ts';
import type { MainValue } from '../../state/health.ts';
import { Spark } from '../common/spark.tsx';
import { RangeBar, Value } from '../common/value.tsx';

/** One of a field's main metrics: its value now, how it went in the last day, and where it lies in its range. */
export function FieldMean({ farm, field, metric, mean }: MainValue & { farm: ApiFarm; field: FieldSensors }) {
  return (
    <div class="field-mean" data-main={metric}>
      <p class="field-mean-value">
        {mean === undefined ? (
          <span class="quiet">No fresh value</span>
        ) : (
          <span class="big">
            <Value metric={metric} value={mean} />
          </span>
        )}
        <span class="quiet">{metricOf(metric).label}, mean</span>
      </p>
      <Spark farm={farm.id} of={{ field: field.id }} metric={metric} trend />
      {mean !== undefined && <RangeBar metric={metric} value={mean} />}
    </div>
  );
}

export { retryDelay } from './backoff.ts';
export { LiveClient, type LiveClientOptions, SESSION_ENDED } from './client.ts';
export { dialWith, type Line, type LineHandlers, type Socket } from './connection.ts';
export type { LiveEvents, LiveState } from './events.ts';
export { Latest, type SensorDescription, type SensorView } from './latest.ts';
export { LiveSeries, type LiveSeriesOptions, type Span } from './live-series.ts';
export {
  type Measured,
  type Position,
  type Row,
  SENSOR_STATES,
  type SensorState,
  type ServerMessage,
  SUBPROTOCOL,
} from './messages.ts';
export { type Bucket, type HeldValue, type HistoryAnswer, type HistoryRow, Series } from './series.ts';

/** What may be found of a clock. */
export type ClockState = 'right' | 'ahead' | 'behind' | 'jumps-back' | 'wanders';

/** A finding in words, such as "its clock is 3 h 02 min ahead". */
export function clockWords(is: ClockState, byMs: number): string {
  const by = sizeWords(byMs);
  switch (is) {
    case 'right':
      return 'its clock is right';
    case 'ahead':
      return `its clock is ${by} ahead`;
    case 'behind':
      return `its clock is ${by} behind`;
    case 'jumps-back':
      return `its clock jumped back, to ${by} behind; it may start again at each power-on`;
    case 'wanders':
      return `its clock wanders, and was wrong by ${by} last`;
  }
}

/** How large an error is, in its two largest units: "3 h 02 min". */
function sizeWords(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  const days = Math.round(hours / 24);
  if (days < 730) return `${days} days`;
  return `${Math.round(days / 365.25)} years`;
}

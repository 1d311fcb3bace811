interface DependencyWords {
  readonly name: string;
  readonly what: string;
  /** What it means when it does not work. */
  readonly without: string;
}

const PARTS: readonly (readonly [RegExp, DependencyWords])[] = [
  [
    /dead/,
    {
      name: 'Dead letters',
      what: 'Keeps messages that could not be read.',
      without: 'Readings that cannot be read wait, and so may those behind them.',
    },
  ],
  [/alert/, { name: 'Alerts', what: 'Watches values against rules.', without: 'No alert is raised meanwhile.' }],
  [
    /store/,
    {
      name: 'Store',
      what: 'Keeps every reading, for charts and downloads.',
      without: 'Charts of the past cannot be drawn. Nothing is lost: readings wait in the queue.',
    },
  ],
  [
    /queue/,
    {
      name: 'Queue',
      what: 'Holds readings between broker and workers.',
      without: 'Sensors are held until it is back; they keep their readings and send them again.',
    },
  ],
  [
    /live|log/,
    {
      name: 'Live log',
      what: 'Brings readings to every screen.',
      without: 'Values on screen stand still. Nothing is lost.',
    },
  ],
  [
    /broker|mqtt|door/,
    {
      name: 'Broker',
      what: 'Takes readings from sensors.',
      without: 'Sensors cannot connect; they keep their readings.',
    },
  ],
  [
    /worker/,
    { name: 'Worker', what: 'Reads, checks and stores what came in.', without: 'Readings wait in the queue.' },
  ],
  [
    /disk/,
    {
      name: 'Disk',
      what: 'Where Loam keeps its files on this machine.',
      without: 'When too little is left, sensors are held; they keep their readings and send them again.',
    },
  ],
  [
    /registry/,
    {
      name: 'Registry',
      what: 'The file of farms, fields, sensors and people.',
      without: 'The last good version stays in force; see the file’s line that is named.',
    },
  ],
  [/gateway|http/, { name: 'Gateway', what: 'Serves this page.', without: 'This page may stop answering.' }],
];

/** A part of the system, for people who did not build it. */
export function partInWords(id: string): DependencyWords {
  const [, found] = PARTS.find(([name]) => name.test(id)) ?? [];
  const words = id.replaceAll(/[_-]/g, ' ');
  return found ?? { name: words.charAt(0).toUpperCase() + words.slice(1), what: '', without: '' };
}

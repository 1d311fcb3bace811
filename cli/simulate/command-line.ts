import type { Command } from 'commander';

const EXIT_CODES = `
Exit codes: 0 all was acknowledged, and with --verify accounted for; 1 something was not; 2 a wrong option or profile;
3 the broker cannot be reached; 4 it refuses the credentials; 130 and 143 ended early by Ctrl-C or SIGTERM, with a report of what there was.

  loam simulate                                                the demo farm's sensors
  loam simulate --profile bad-day --provision --verify         everything goes wrong, and every reading is accounted for
  loam simulate --profile 1000-sensors --provision --rate 5000 --ramp 10 --for 60 --report load.html
`;

/** Adds the options of `loam simulate` to its command. */
export function simulateOptions(command: Command): Command {
  return command
    .option(
      '--profile <name>',
      'demo, greenhouse, 1000-sensors, lorawan, bad-day, flood, or a YAML file (docs/simulate.md)',
    )
    .option('--mqtt <url>', 'MQTT address to publish to', 'mqtt://127.0.0.1:1883')
    .option('--farm <farm>', 'farm of all sensors, instead of the profile’s')
    .option('--interval <time>', 'between two readings of a sensor, instead of the profile’s')
    .option('--for <time>', 'stop by itself after this long: seconds, or 250ms, 90s, 5m, 2h')
    .option('--start <time>', 'pretend to begin then: the same profile and start give the same bytes')
    .option('--shard <part>', 'play one part of several, such as 1/4')
    .option('--client <client>', 'mqttjs or packet (default: mqttjs for up to 200 connections)')
    .option('--provision', 'register the sensors over HTTP first, where their secrets are not known')
    .option('--secrets <file>', 'JSON file of sensors and secrets, instead of those in the data folder')
    .option('--username <name>', 'sign in alike with every connection, for other brokers')
    .option('--password <password>', 'goes with --username')
    .option('--verify', 'look on as a viewer, ask what is stored, and account for every reading')
    .option('--report <file>', 'write a report, as HTML and as JSON')
    .option('--rate <n>', 'load test: so many publishes a second, whatever comes back')
    .option('--ramp <time>', 'load test: rise to the rate evenly')
    .option('--closed', 'load test: as fast as they are acknowledged')
    .option('--until-break', 'load test: raise the rate by half every 10 s until the broker does not keep up')
    .option('--in-flight <n>', 'load test: publishes of a connection without acknowledgement', '20')
    .option('--threads <n>', 'load test: threads of the generator', '1')
    .option('--qos <0|1>', 'load test: quality of service', '1')
    .option('--replay <file>', 'play a recording: CSV or NDJSON')
    .option('--speed <n>', 'replay: how many times faster than recorded', '1')
    .option('--times <now|recorded>', 'replay: move the times to now, or leave them', 'now')
    .addHelpText('after', EXIT_CODES);
}

// Weather and soil station, an uplink of many channels on port 85; settings on port 86; faults on port 87.
// Port 85: channel (1 byte), type (1), value (1 to 4, lowest byte first), again and again.
// Port 86: version (1), interval (2, minutes), probes (1, one bit each), depths (1 a probe, cm).
// Port 87: faults (2, one bit each), count of each that is set (1 each).
// Written for benchmarks, as makers write theirs: a table of channels and a loop over the bytes.

var CHANNELS = [
  { channel: 0x01, type: 0x75, name: 'battery_level', unit: '%', size: 1, signed: false, scale: 1 },
  { channel: 0x02, type: 0x76, name: 'battery', unit: 'V', size: 2, signed: false, scale: 0.001, least: 0, most: 20 },
  {
    channel: 0x03,
    type: 0x67,
    name: 'air_temperature',
    unit: '°C',
    size: 2,
    signed: true,
    scale: 0.1,
    least: -50,
    most: 80,
  },
  {
    channel: 0x04,
    type: 0x68,
    name: 'air_humidity',
    unit: '%',
    size: 1,
    signed: false,
    scale: 0.5,
    least: 0,
    most: 100,
  },
  {
    channel: 0x05,
    type: 0x73,
    name: 'air_pressure',
    unit: 'hPa',
    size: 2,
    signed: false,
    scale: 0.1,
    least: 300,
    most: 1200,
  },
  { channel: 0x06, type: 0x65, name: 'illuminance', unit: 'lx', size: 2, signed: false, scale: 1 },
  { channel: 0x07, type: 0x6e, name: 'solar_radiation', unit: 'W/m²', size: 2, signed: false, scale: 0.1 },
  { channel: 0x08, type: 0x6f, name: 'par', unit: 'µmol/m²s', size: 2, signed: false, scale: 0.1 },
  { channel: 0x09, type: 0x70, name: 'wind_speed', unit: 'm/s', size: 2, signed: false, scale: 0.01 },
  { channel: 0x0a, type: 0x71, name: 'wind_gust', unit: 'm/s', size: 2, signed: false, scale: 0.01 },
  { channel: 0x0b, type: 0x72, name: 'wind_direction', unit: '°', size: 2, signed: false, scale: 0.1 },
  { channel: 0x0c, type: 0x77, name: 'rain', unit: 'mm', size: 4, signed: false, scale: 0.01 },
  { channel: 0x0d, type: 0x78, name: 'rain_rate', unit: 'mm/h', size: 2, signed: false, scale: 0.1 },
  { channel: 0x0e, type: 0x7d, name: 'co2', unit: 'ppm', size: 2, signed: false, scale: 1 },
  { channel: 0x0f, type: 0x7e, name: 'leaf_wetness', unit: '%', size: 2, signed: false, scale: 0.1 },
  { channel: 0x10, type: 0x67, name: 'leaf_temperature', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x20, type: 0x7f, name: 'soil_moisture_10cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x21, type: 0x7f, name: 'soil_moisture_20cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x22, type: 0x7f, name: 'soil_moisture_30cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x23, type: 0x7f, name: 'soil_moisture_40cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x24, type: 0x7f, name: 'soil_moisture_50cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x25, type: 0x7f, name: 'soil_moisture_60cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x26, type: 0x7f, name: 'soil_moisture_80cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x27, type: 0x7f, name: 'soil_moisture_100cm', unit: '%', size: 2, signed: false, scale: 0.01 },
  { channel: 0x28, type: 0x67, name: 'soil_temperature_10cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x29, type: 0x67, name: 'soil_temperature_20cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x2a, type: 0x67, name: 'soil_temperature_30cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x2b, type: 0x67, name: 'soil_temperature_40cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x2c, type: 0x67, name: 'soil_temperature_50cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x2d, type: 0x67, name: 'soil_temperature_60cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x2e, type: 0x67, name: 'soil_temperature_80cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x2f, type: 0x67, name: 'soil_temperature_100cm', unit: '°C', size: 2, signed: true, scale: 0.1 },
  { channel: 0x30, type: 0x80, name: 'soil_ec_10cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x31, type: 0x80, name: 'soil_ec_20cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x32, type: 0x80, name: 'soil_ec_30cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x33, type: 0x80, name: 'soil_ec_40cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x34, type: 0x80, name: 'soil_ec_50cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x35, type: 0x80, name: 'soil_ec_60cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x36, type: 0x80, name: 'soil_ec_80cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x37, type: 0x80, name: 'soil_ec_100cm', unit: 'µS/cm', size: 2, signed: false, scale: 1 },
  { channel: 0x38, type: 0x81, name: 'soil_tension_10cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x39, type: 0x81, name: 'soil_tension_20cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x3a, type: 0x81, name: 'soil_tension_30cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x3b, type: 0x81, name: 'soil_tension_40cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x3c, type: 0x81, name: 'soil_tension_50cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x3d, type: 0x81, name: 'soil_tension_60cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x3e, type: 0x81, name: 'soil_tension_80cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x3f, type: 0x81, name: 'soil_tension_100cm', unit: 'kPa', size: 2, signed: true, scale: 0.1 },
  { channel: 0x40, type: 0x82, name: 'soil_permittivity_10cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x41, type: 0x82, name: 'soil_permittivity_20cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x42, type: 0x82, name: 'soil_permittivity_30cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x43, type: 0x82, name: 'soil_permittivity_40cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x44, type: 0x82, name: 'soil_permittivity_50cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x45, type: 0x82, name: 'soil_permittivity_60cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x46, type: 0x82, name: 'soil_permittivity_80cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x47, type: 0x82, name: 'soil_permittivity_100cm', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x48, type: 0x83, name: 'nitrogen', unit: 'mg/kg', size: 2, signed: false, scale: 1 },
  { channel: 0x49, type: 0x83, name: 'phosphorus', unit: 'mg/kg', size: 2, signed: false, scale: 1 },
  { channel: 0x4a, type: 0x83, name: 'potassium', unit: 'mg/kg', size: 2, signed: false, scale: 1 },
  { channel: 0x4b, type: 0x84, name: 'ph', unit: '', size: 2, signed: false, scale: 0.01 },
  { channel: 0x4c, type: 0x85, name: 'salinity', unit: 'mg/L', size: 2, signed: false, scale: 1 },
  { channel: 0x4d, type: 0x86, name: 'orp', unit: 'mV', size: 2, signed: true, scale: 0.1 },
  { channel: 0x4e, type: 0x87, name: 'pulse_1', unit: '', size: 4, signed: false, scale: 1 },
  { channel: 0x4f, type: 0x87, name: 'pulse_2', unit: '', size: 4, signed: false, scale: 1 },
  { channel: 0x50, type: 0x87, name: 'pulse_3', unit: '', size: 4, signed: false, scale: 1 },
  { channel: 0x51, type: 0x87, name: 'pulse_4', unit: '', size: 4, signed: false, scale: 1 },
  { channel: 0x52, type: 0x88, name: 'analog_1', unit: 'mA', size: 2, signed: false, scale: 0.001, least: 0, most: 25 },
  { channel: 0x53, type: 0x88, name: 'analog_2', unit: 'mA', size: 2, signed: false, scale: 0.001, least: 0, most: 25 },
  { channel: 0x54, type: 0x88, name: 'analog_3', unit: 'mA', size: 2, signed: false, scale: 0.001, least: 0, most: 25 },
  { channel: 0x55, type: 0x88, name: 'analog_4', unit: 'mA', size: 2, signed: false, scale: 0.001, least: 0, most: 25 },
  { channel: 0x56, type: 0x89, name: 'valve_1_flow', unit: 'L/min', size: 2, signed: false, scale: 0.01 },
  { channel: 0x57, type: 0x89, name: 'valve_2_flow', unit: 'L/min', size: 2, signed: false, scale: 0.01 },
  { channel: 0x58, type: 0x89, name: 'valve_3_flow', unit: 'L/min', size: 2, signed: false, scale: 0.01 },
  { channel: 0x59, type: 0x89, name: 'valve_4_flow', unit: 'L/min', size: 2, signed: false, scale: 0.01 },
];

var FAULTS = [
  { bit: 0, name: 'probe_missing', text: 'a probe does not answer' },
  { bit: 1, name: 'probe_short', text: 'a probe is short-circuited' },
  { bit: 2, name: 'probe_range', text: 'a probe measured outside of its range' },
  { bit: 3, name: 'battery_low', text: 'the battery is nearly empty' },
  { bit: 4, name: 'battery_cold', text: 'the battery is too cold to be loaded' },
  { bit: 5, name: 'panel_dark', text: 'the panel has given nothing for three days' },
  { bit: 6, name: 'case_open', text: 'the case is open' },
  { bit: 7, name: 'case_wet', text: 'there is water in the case' },
  { bit: 8, name: 'clock_lost', text: 'the clock was set back' },
  { bit: 9, name: 'memory_full', text: 'the memory of past readings is full' },
  { bit: 10, name: 'radio_refused', text: 'the network did not answer the last join' },
  { bit: 11, name: 'rain_blocked', text: 'the rain gauge is blocked' },
  { bit: 12, name: 'wind_stuck', text: 'the wind vane has not moved for a day' },
  { bit: 13, name: 'valve_stuck', text: 'a valve did not follow its command' },
  { bit: 14, name: 'firmware_old', text: 'the firmware is too old for this probe' },
  { bit: 15, name: 'reset', text: 'the station was started again' },
];

var byKey = {};
CHANNELS.forEach((one) => {
  byKey[key(one.channel, one.type)] = one;
});

function key(channel, type) {
  return hex(channel) + hex(type);
}

function hex(byte) {
  return `0${(byte & 0xff).toString(16)}`.slice(-2).toUpperCase();
}

function readUnsigned(bytes, from, size) {
  var value = 0;
  var i;
  for (i = size - 1; i >= 0; i--) value = value * 256 + bytes[from + i];
  return value;
}

function readSigned(bytes, from, size) {
  var value = readUnsigned(bytes, from, size);
  var limit = 2 ** (8 * size - 1);
  return value >= limit ? value - 2 * limit : value;
}

function rounded(value, scale) {
  var digits = scale >= 1 ? 0 : Math.round(-Math.log(scale) / Math.LN10) + 1;
  return Number(value.toFixed(digits));
}

function decodeValues(bytes, data, warnings) {
  var from = 0;
  var found, raw, value;
  while (from + 2 <= bytes.length) {
    found = byKey[key(bytes[from], bytes[from + 1])];
    if (!found) {
      warnings.push(`unknown channel ${hex(bytes[from])} of type ${hex(bytes[from + 1])}`);
      return;
    }
    from += 2;
    if (from + found.size > bytes.length) {
      warnings.push(`${found.name} is cut off`);
      return;
    }
    raw = found.signed ? readSigned(bytes, from, found.size) : readUnsigned(bytes, from, found.size);
    from += found.size;
    value = rounded(raw * found.scale, found.scale);
    if ((found.least !== undefined && value < found.least) || (found.most !== undefined && value > found.most)) {
      warnings.push(`${found.name} is out of range: ${value} ${found.unit}`);
    } else {
      data[found.name] = value;
    }
  }
}

function decodeSettings(bytes, data) {
  var probe;
  data.version = `${bytes[0] >> 4}.${bytes[0] & 0x0f}`;
  data.interval = readUnsigned(bytes, 1, 2);
  data.probes = 0;
  for (probe = 0; probe < 8; probe++) {
    if (!((bytes[3] >> probe) & 1)) continue;
    data[`probe_${probe + 1}_depth`] = bytes[4 + data.probes];
    data.probes += 1;
  }
}

function decodeFaults(bytes, data, warnings) {
  var set = readUnsigned(bytes, 0, 2);
  var from = 2;
  var i;
  for (i = 0; i < FAULTS.length; i++) {
    if (!((set >> FAULTS[i].bit) & 1)) continue;
    data[`fault_${FAULTS[i].name}`] = bytes[from++] || 1;
    warnings.push(FAULTS[i].text);
  }
}

function decodeUplink(input) {
  var data = {};
  var warnings = [];
  switch (input.fPort) {
    case 85:
      decodeValues(input.bytes, data, warnings);
      break;
    case 86:
      decodeSettings(input.bytes, data);
      break;
    case 87:
      decodeFaults(input.bytes, data, warnings);
      break;
    default:
      return { errors: [`unknown FPort ${input.fPort}`] };
  }
  return { data: data, warnings: warnings, errors: [] };
}

if (typeof module !== 'undefined') {
  module.exports = { decodeUplink: decodeUplink };
}

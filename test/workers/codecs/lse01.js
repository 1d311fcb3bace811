// Soil moisture and EC sensor, uplinks on port 2:
// battery (2 bytes, mV, upper 2 bits unused), DS18B20 (2, 0.1 °C), moisture (2, 0.01 %), temperature (2, 0.01 °C), conductivity (2, µS/cm), flags (1)
function bytes2int(byte1, byte2) {
  var value = (byte1 << 8) | byte2;
  if (byte1 & 0x80) value |= 0xffff0000;
  return value;
}

function decodeUplink(input) {
  var b = input.bytes;
  if (input.fPort !== 2) {
    return { errors: ['unknown FPort '.concat(input.fPort)] };
  }
  if (b.length < 11) {
    return { data: {}, warnings: [], errors: ['too short'] };
  }
  console.log('decoding', b.length);
  var decode = {};
  decode.BatV = (((b[0] << 8) | b[1]) & 0x3fff) / 1000;
  decode.TempC_DS18B20 = (bytes2int(b[2], b[3]) / 10).toFixed(2);
  decode.water_SOIL = (((b[4] << 8) | b[5]) / 100).toFixed(2);
  decode.temp_SOIL = (bytes2int(b[6], b[7]) / 100).toFixed(2);
  decode.conduct_SOIL = (b[8] << 8) | b[9];
  decode.Sensor_flag = (b[10] >> 4) & 1;
  decode.received = input.recvTime.toISOString();
  return { data: decode, warnings: [], errors: [] };
}

if (typeof module !== 'undefined') {
  module.exports = { decodeUplink: decodeUplink };
}

/** What a device means by a name: the metric, and the unit of values that come without one. */
export interface ProfileMeaning {
  readonly metric: string;
  readonly unit?: string;
}

/**
 * What makers' decoders mean by their names, folded: `metric`, or `metric unit`. Only where Loam would otherwise read
 * another metric or another unit from the name, or none. Units that come with a value are believed before these.
 */
const TABLE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // Whoever made the device, one thing that its values are in.
  'battery-percent': { battery: 'battery_level %', bat: 'battery_level %', batt: 'battery_level %' },
  'battery-millivolts': { battery: 'battery mV', bat: 'battery mV', batt: 'battery mV', battery_voltage: 'battery mV' },
  'ec-microsiemens': { ec: 'ec µS/cm', soil_ec: 'ec µS/cm', conductivity: 'ec µS/cm', pore_ec: 'pore_ec µS/cm' },
  'pressure-pascals': {
    pressure: 'air_pressure Pa',
    air_pressure: 'air_pressure Pa',
    barometric_pressure: 'air_pressure Pa',
  },
  // https://github.com/TheThingsNetwork/lorawan-devices has the decoders of these makers.
  dragino: {
    bat: 'battery V',
    battery: 'battery V',
    conduct_soil: 'ec µS/cm',
    moisture_soil: 'soil_moisture %',
    temp_c_sht: 'air_temperature °C',
    hum_sht: 'air_humidity %',
    tem: 'air_temperature °C',
    hum: 'air_humidity %',
    pressure: 'air_pressure hPa',
    rain_gauge: 'rain mm',
    wind_direction_angle: 'wind_direction °',
    illumination: 'illuminance lx',
    tsr: 'solar_radiation W/m²',
  },
  milesight: {
    battery: 'battery_level %',
    ec: 'ec µS/cm',
    pressure: 'air_pressure hPa',
    illumination: 'illuminance lx',
    light: 'illuminance lx',
    rainfall_total: 'rain mm',
    distance: 'distance mm',
  },
  'milesight-soil': {
    battery: 'battery_level %',
    temperature: 'soil_temperature °C',
    humidity: 'soil_moisture %',
    ec: 'ec µS/cm',
  },
  // https://wiki.seeedstudio.com/sensecraft-data-platform/api/appendix/list_of_measurement_ids
  sensecap: {
    battery: 'battery_level %',
    measurement_3000: 'battery_level %',
    measurement_4099: 'illuminance lx',
    measurement_4100: 'co2 ppm',
    measurement_4101: 'air_pressure Pa',
    measurement_4104: 'wind_direction °',
    measurement_4105: 'wind_speed m/s',
    measurement_4106: 'ph',
    measurement_4107: 'par µmol/m²/s',
    measurement_4110: 'soil_moisture %',
    measurement_4111: 'ec dS/m',
    measurement_4112: 'soil_temperature °C',
    measurement_4113: 'rain_rate mm/h',
    measurement_4117: 'water_level cm',
    measurement_4124: 'water_temperature °C',
    measurement_4127: 'solar_radiation W/m²',
    measurement_4129: 'par µmol/m²/s',
    measurement_4133: 'soil_water_potential kPa',
    measurement_4136: 'leaf_temperature °C',
    measurement_4137: 'leaf_wetness %',
  },
  decentlab: {
    battery_voltage: 'battery V',
    electrical_conductivity: 'ec µS/cm',
    volumetric_water_content: 'soil_moisture m³/m³',
    atmospheric_pressure: 'air_pressure kPa',
    barometric_pressure: 'air_pressure Pa',
  },
  // Names of ZENTRA Cloud; `ec` as its probes say by SDI-12.
  meter: {
    water_content: 'soil_moisture m³/m³',
    ec: 'ec µS/cm',
    bulk_ec: 'ec mS/cm',
    saturation_extract_ec: 'pore_ec mS/cm',
    atmospheric_pressure: 'air_pressure kPa',
    reference_pressure: 'air_pressure kPa',
    vpd: 'vapour_pressure_deficit kPa',
    gust_speed: 'wind_gust m/s',
    max_precip_rate: 'rain_rate mm/h',
    battery_percent: 'battery_level %',
    battery_voltage: 'battery mV',
  },
  elsys: {
    vdd: 'battery mV',
    pressure: 'air_pressure hPa',
    light: 'illuminance lx',
    distance: 'distance mm',
  },
  pessl: {
    battery: 'battery mV',
    solar: 'solar_panel mV',
    avg_temp: 'air_temperature °C',
    humidity_avg: 'air_humidity %',
    dew_point_avg: 'dew_point °C',
    vpd_avg: 'vapour_pressure_deficit kPa',
  },
};

const PROFILES: ReadonlyMap<string, ReadonlyMap<string, ProfileMeaning>> = new Map(
  Object.entries(TABLE).map(([name, meanings]) => [name, new Map(Object.entries(meanings).map(readMeaning))]),
);

/** Every profile that a sensor may name. */
export const PROFILE_NAMES: readonly string[] = [...PROFILES.keys()];

/** What a folded name means by the first of these profiles that knows it; undefined when none does. */
export function meaningBy(profiles: string | readonly string[], name: string): ProfileMeaning | undefined {
  for (const profile of typeof profiles === 'string' ? [profiles] : profiles) {
    const meaning = PROFILES.get(profile)?.get(name);
    if (meaning) return meaning;
  }
  return undefined;
}

function readMeaning([name, meaning]: readonly [string, string]): readonly [string, ProfileMeaning] {
  const [metric = '', unit] = meaning.split(' ');
  return [name, unit === undefined ? { metric } : { metric, unit }];
}

/**
 * A metric that Loam knows by itself. `plausible` is the range that can be measured at all, in `unit`: a value outside
 * it is a fault of the sensor.
 */
export interface KnownMetric {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  readonly decimals: number;
  readonly plausible: readonly [least: number, most: number];
}

type CatalogueRow = readonly [id: string, label: string, unit: string, decimals: number, least: number, most: number];

/** The metrics of fields and their sensors. `docs/protocol-mqtt.md` shows them; a test compares the two. */
const ROWS: readonly CatalogueRow[] = [
  ['soil_moisture', 'Soil moisture', '%', 1, -10, 110],
  ['soil_water_potential', 'Soil water potential', 'kPa', 0, -200_000, 2_000],
  ['soil_temperature', 'Soil temperature', '°C', 1, -60, 90],
  ['ec', 'Electrical conductivity', 'mS/cm', 2, -1, 200],
  ['pore_ec', 'Pore water conductivity', 'mS/cm', 2, -1, 200],
  ['permittivity', 'Permittivity', '', 1, 0, 200],
  ['ph', 'pH', '', 1, 0, 14],
  ['nitrogen', 'Nitrogen', 'mg/kg', 0, 0, 100_000],
  ['phosphorus', 'Phosphorus', 'mg/kg', 0, 0, 100_000],
  ['potassium', 'Potassium', 'mg/kg', 0, 0, 100_000],
  ['temperature', 'Temperature', '°C', 1, -273.15, 1_500],
  ['air_temperature', 'Air temperature', '°C', 1, -90, 90],
  ['humidity', 'Humidity', '%', 0, -5, 110],
  ['air_humidity', 'Air humidity', '%', 0, -5, 110],
  ['air_pressure', 'Air pressure', 'hPa', 0, 300, 1_200],
  ['vapour_pressure_deficit', 'Vapour pressure deficit', 'kPa', 2, -1, 50],
  ['dew_point', 'Dew point', '°C', 1, -120, 90],
  ['leaf_wetness', 'Leaf wetness', '%', 0, -5, 110],
  ['leaf_temperature', 'Leaf temperature', '°C', 1, -90, 90],
  ['rain', 'Rain', 'mm', 1, 0, 1_000_000],
  ['rain_rate', 'Rain rate', 'mm/h', 1, 0, 2_000],
  ['wind_speed', 'Wind speed', 'm/s', 1, 0, 150],
  ['wind_gust', 'Wind gust', 'm/s', 1, 0, 150],
  ['wind_direction', 'Wind direction', '°', 0, -360, 720],
  ['par', 'PAR', 'µmol/m²/s', 0, -50, 5_000],
  ['solar_radiation', 'Solar radiation', 'W/m²', 0, -50, 2_500],
  ['illuminance', 'Light', 'lx', 0, 0, 500_000],
  ['co2', 'CO₂', 'ppm', 0, 0, 1_000_000],
  ['water_temperature', 'Water temperature', '°C', 1, -60, 120],
  ['water_level', 'Water level', 'm', 2, -12_000, 12_000],
  ['battery', 'Battery', 'V', 2, -1, 1_000],
  ['battery_level', 'Battery', '%', 0, -1, 110],
  ['rssi', 'Signal (RSSI)', 'dBm', 0, -250, 100],
  ['snr', 'Signal to noise', 'dB', 1, -100, 100],
];

export const CATALOGUE: ReadonlyMap<string, KnownMetric> = new Map(
  ROWS.map(([id, label, unit, decimals, least, most]) => [id, { id, label, unit, decimals, plausible: [least, most] }]),
);

/**
 * Makers' names of metrics, folded: only names with one possible meaning. The maker's unit is there where it is known.
 */
const MAKERS: Readonly<Record<string, readonly (string | readonly [name: string, unit: string])[]>> = {
  soil_moisture: [
    'moisture',
    'soil_humidity',
    'soil_hum',
    'soil_moist',
    'soil_water_content',
    'water_soil',
    'measurement_4103',
    ['vwc', '%'],
    ['soil_vwc', '%'],
    ['volumetric_water_content', 'm³/m³'],
  ],
  soil_temperature: ['soil_temp', 'temp_soil', 'temperature_soil', 'measurement_4102'],
  ec: [
    ['conduct_soil', 'µS/cm'],
    'soil_ec',
    'soil_conductivity',
    'electrical_conductivity',
    ['measurement_4108', 'mS/cm'],
  ],
  permittivity: ['dielectric_permittivity', 'soil_dielectric_constant'],
  soil_water_potential: ['water_potential', 'matric_potential', 'soil_tension', 'soil_suction'],
  ph: ['soil_ph', 'ph1_soil'],
  air_temperature: ['air_temp', 'temperature_air', 'ambient_temperature', 'measurement_4097'],
  air_humidity: ['air_hum', 'relative_humidity', 'rh', 'measurement_4098'],
  air_pressure: ['barometric_pressure', 'atmospheric_pressure'],
  leaf_wetness: ['leaf_moisture'],
  leaf_temperature: ['leaf_temp'],
  rain: ['rainfall', 'precipitation'],
  par: ['ppfd', 'photosynthetically_active_radiation'],
  solar_radiation: ['solar_irradiance', 'global_radiation'],
  co2: ['co2_concentration'],
  battery: ['bat_v', 'bat', 'battery_voltage', 'batt_v', 'vbat', 'battery_volts'],
  battery_level: ['battery_percent', 'battery_percentage', 'bat_level', 'last_battery_percentage'],
};

/** The metric that a maker's folded name means, and the unit of it where that is known. */
export const MAKERS_NAMES: ReadonlyMap<string, { readonly metric: string; readonly unit?: string }> = new Map(
  Object.entries(MAKERS).flatMap(([metric, names]) =>
    names.map((name) =>
      typeof name === 'string' ? ([name, { metric }] as const) : ([name[0], { metric, unit: name[1] }] as const),
    ),
  ),
);

/**
 * Files in the forms that loggers and their programs write. Values and places are made up; the forms are modelled on the
 * makers' manuals and on what people who read such files say of them.
 */

/** METER ZENTRA Cloud, CSV: logger and ports, number of records and sensors, columns with the unit first; US times. */
export const METER = [
  'z6-01234,Port1,Port1,Port1,Port2,Port2,Port8',
  '4 records,TEROS 12,TEROS 12,TEROS 12,TEROS 21,TEROS 21,Battery',
  'Timestamps, m³/m³ Water Content, °C Soil Temperature, mS/cm Bulk EC, kPa Matric Potential, °C Soil Temperature, mV Battery Voltage',
  '04/03/2026 11:45:00 PM,0.254,12.1,0.112,-33.2,11.9,7712',
  '04/04/2026 12:00:00 AM,0.253,12.0,0.111,-33.4,11.8,7711',
  '04/04/2026 12:15:00 AM,#N/A,#N/A,#N/A,-33.5,11.8,7710',
  '04/13/2026 12:15:00 PM,0.251,14.5,0.110,-35.0,12.8,7709',
].join('\r\n');

/** Decagon EM50 by the ECH2O Utility: the same three lines, five ports with sensors of one kind, and *** for no value. */
export const EM50 = [
  'Em50-1,Port 1,Port 1,Port 1,Port 2,Port 2,Port 2',
  'Records: 3,5TE,5TE,5TE,5TE,5TE,5TE',
  'Measurement Time,m³/m³ VWC,°C Temp,mS/cm EC Bulk,m³/m³ VWC,°C Temp,mS/cm EC Bulk',
  '8/31/2019 11:40 PM,0.136,13.4,0.00,0.097,15.2,0.01',
  '8/31/2019 11:45 PM,0.137,13.3,0.00,***,***,***',
  '9/1/2019 12:00 AM,0.138,13.2,0.01,0.098,15.0,0.01',
].join('\n');

/** Davis WeatherLink, text: tabs, two lines of names, date and time of day apart, `a` and `p`, points of the compass, dashes. */
export const DAVIS_TEXT = [
  '\t\tTemp\tHi\tLow\tOut\tDew\tWind\tWind\tHi\t\t\tSolar',
  'Date\tTime\tOut\tTemp\tTemp\tHum\tPt.\tSpeed\tDir\tSpeed\tBar\tRain\tRad.',
  '3/29/26\t11:45p\t 9.4\t 9.6\t 9.4\t81\t6.3\t1.8\tNNW\t4.5\t1013.2\t0.20\t 0',
  '3/30/26\t12:00a\t 9.3\t 9.4\t 9.3\t82\t6.4\t0.0\t---\t3.1\t1013.0\t0.00\t---',
].join('\r\n');

/** weatherlink.com, CSV: the station above, every cell in quotes, units behind a dash, two dashes for no value. */
export const DAVIS_WEB = [
  '"Station","Orchard"',
  '"Date & Time","Barometer - hPa","Temp - °F","Hum - %","Rain - mm","Prevailing Wind Direction"',
  '"13/4/26 00:00","1012.1","50.0","80","0.2","W"',
  '"13/4/26 00:15","1012.0","51.8","79","--","--"',
].join('\r\n');

/** Onset HOBOware, CSV: a title, a counter, the offset of the times in their name, units and serial numbers, `Logged`. */
export const HOBO = [
  '\uFEFF"Plot Title: Row 7"',
  '"#","Date Time, GMT+02:00","Temp, °C (LGR S/N: 10755220, SEN S/N: 10755220, LBL: soil)","RH, % (LGR S/N: 10755220, SEN S/N: 10755220)","Host Connected (LGR S/N: 10755220)","End Of File (LGR S/N: 10755220)"',
  '1,04/01/26 12:30:00 AM,11.053,71.25,,',
  '2,04/01/26 01:00:00 PM,12.304,70.5,,',
  '3,04/01/26 01:10:31 PM,,,Logged,',
  '4,04/01/26 01:11:02 PM,,,,Logged',
].join('\r\n');

/** Campbell Scientific TOA5: four lines above the data, all names in quotes, "NAN". */
export const TOA5 = [
  '"TOA5","Orchard","CR300","4711","CR300.Std.10","CPU:orchard.CR3","22222","Hourly"',
  '"TIMESTAMP","RECORD","AirTC_Avg","VW","BattV_Min","Rain_mm_Tot"',
  '"TS","RN","Deg C","m^3/m^3","Volts","mm"',
  '"","","Avg","Smp","Min","Tot"',
  '"2026-04-01 00:00:00",0,11.2,0.251,12.6,0',
  '"2026-04-01 00:30:00.5",1,"NAN",0.25,12.6,0.2',
].join('\r\n');

-- In the order of subjects, as in the original. A fifth are drawn between stays (before them, and by patients who have
-- none); a twentieth of those drawn in a stay don't name it. Nine results share a specimen.
with source as (
    select i, 0 as part, subject_id, null as hadm_id, 900.0 as days,
           later(later(timestamp_s '2008-01-01 00:00:00', u(subject_id, 'first') * 4400), shift_days) as start,
           (1e3 * exp(1.2 * normal(subject_id, 'outside')))::bigint as outside, 0::bigint as inside
    from patient
    union all
    select i, j + 1, subject_id, hadm_id, los_days, admittime, 0,
           (1e3 * (0.5 + los_days) * exp(0.5 * normal(hadm_id, 'labs')))::bigint
    from admission
),
numbered as (
    select *, row_number() over (order by i, part) as s, getvariable('rows_labevents') * 22 // 100 as rows_outside
    from source
),
counted as (
    select *, dealt(rows_outside, outside, s) + dealt(getvariable('rows_labevents') - rows_outside, inside, s) as n
    from numbered
),
unit as (select *, sum(n) over (order by s) - n as before from counted order by s),
drawn as (
    select *, j // 9 as specimen, (n + 8) // 9 as specimens,
           zipf(1000, u(s, j)) as rank, u(j, s) as v, u(s, -1 - specimen) as w
    from (select *, unnest(range(n)) as j from unit)
),
timed as (
    select *, minute(later(start, days * (specimen + w) / specimens)) as charttime from drawn
),
measured as (
    select *, if(v < 0.92, round(middle * (0.5 + v), 1), null) as valuenum, round(middle * 0.7, 1) as low,
           round(middle * 1.2, 1) as high
    from timed join lab_item using (rank)
)
select (before + j + 1)::bigint as labevent_id, subject_id, if(w < 0.05, null, hadm_id) as hadm_id,
       (s * 4096 + specimen) % 99999999 as specimen_id, itemid, null as order_provider_id, charttime,
       case when (j * 7 + s) % 100 = 0 then null
            when (j * 7 + s) % 100 = 1 then later(charttime, 3)
            else later(charttime, 0.01 + 0.1 * v) end as storetime,
       coalesce(valuenum::text, 'NEG') as value, valuenum, unit as valueuom, low as ref_range_lower, high as ref_range_upper,
       if(valuenum < low or valuenum > high, 'abnormal', null) as flag, if(w < 0.6, 'ROUTINE', 'STAT') as priority,
       if(valuenum is null, '___', null) as comments
from measured

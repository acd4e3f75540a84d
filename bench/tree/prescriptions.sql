-- About 37 a stay, more in longer ones; a fifth are the BASE that another drug is dissolved in.
with stay as (
    select a, subject_id, hadm_id, admittime, los_days,
           dealt(getvariable('rows_prescriptions'),
                 (1e4 * (1 + los_days) * exp(0.5 * normal(hadm_id, 'rx')))::bigint, a) as n
    from admission
),
ordered as (
    select *, zipf(3000, u(hadm_id, j)) as rank, u(j, hadm_id) as v, u(hadm_id + j, 'start') as w
    from (select *, unnest(range(n)) as j from stay)
)
select subject_id, hadm_id, 10000000 + (hash(hadm_id, j, 'pharmacy') % 90000000)::bigint as pharmacy_id,
       format('{}-{}', subject_id, j + 1) as poe_id, j + 1 as poe_seq, 'P' || left(upper(md5((rank % 999)::text)), 5)
           as order_provider_id,
       date_trunc('hour', later(admittime, los_days * w))::timestamp_s as starttime,
       date_trunc('hour', later(admittime, los_days * (w + (1 - w) * v) + 0.05))::timestamp_s as stoptime,
       case when v < 0.795 then 'MAIN' when v < 0.999 then 'BASE' else 'ADDITIVE' end as drug_type, drug,
       formulary as formulary_drug_cd, gsn, ndc, format('{}{} {}', dose, unit, form) as prod_strength, null as form_rx,
       dose as dose_val_rx, unit as dose_unit_rx, 1 as form_val_disp, form as form_unit_disp,
       (1 + rank % 4)::int as doses_per_24_hrs, route
from ordered join drug using (rank)

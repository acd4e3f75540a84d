-- One stay in six, sometimes twice.
with stay as (
    select *, dealt(getvariable('rows_icustays'),
                    if(u(hadm_id, 'icu') < 0.16, (1e4 * exp(0.3 * normal(hadm_id, 'icu')))::bigint, 0), a) as n
    from admission
),
entered as (
    select *, los_days * (k + 0.8 * u(hadm_id, k)) / n as after_days, 0.6 * los_days / n * u(k, hadm_id) as los,
           pick(['Medical Intensive Care Unit (MICU)', 'Cardiac Vascular Intensive Care Unit (CVICU)',
                 'Surgical Intensive Care Unit (SICU)', 'Trauma SICU (TSICU)', 'Coronary Care Unit (CCU)',
                 'Neuro Surgical Intensive Care Unit (Neuro SICU)'], u(hadm_id, 'unit')) as unit
    from (select *, unnest(range(n)) as k from stay)
)
select subject_id, hadm_id, 30000000 + (hash(hadm_id, k, 'stay') % 10000000)::bigint as stay_id, unit as first_careunit,
       unit as last_careunit, later(admittime, after_days) as intime, later(admittime, after_days + los) as outtime, los
from entered

-- An admit, moves and a discharge for each stay; patients without a stay were at least in the emergency department.
with visit as (
    select i, 1 as is_stay, subject_id, hadm_id, admittime as start, los_days, 0 as extra from admission
    union all
    select i, 0, subject_id, null, later(timestamp_s '2108-01-01 00:00:00', 4400 * u(subject_id, 'first')), 0.3, 0
    from patient where is_admitted = 0
),
numbered as (
    select *, row_number() over (order by i, start) as s, 2 * count(*) over () as least_rows,
           is_stay * (1e4 * (0.5 + los_days))::bigint as weight
    from visit
),
counted as (
    select *, 2 + dealt(greatest(getvariable('rows_transfers') - least_rows, 0), weight, s) as n from numbered
),
moved as (select *, unnest(range(n)) as j from counted)
select subject_id, hadm_id, 30000000 + (hash(s, j, 'transfer') % 10000000)::bigint as transfer_id,
       case when j = n - 1 then 'discharge' when j > 0 then 'transfer' when is_stay = 1 then 'admit' else 'ED' end
           as eventtype,
       case when j = n - 1 then 'UNKNOWN' when is_stay = 0 then 'Emergency Department'
            else pick(['Medicine', 'Medicine', 'Med/Surg', 'Neurology', 'Cardiac Surgery', 'Discharge Lounge',
                       'Medical Intensive Care Unit (MICU)', 'Emergency Department Observation'], u(s, j)) end as careunit,
       later(start, los_days * j / (n - 1)) as intime, if(j = n - 1, null, later(start, los_days * (j + 1) / (n - 1))) as outtime
from moved

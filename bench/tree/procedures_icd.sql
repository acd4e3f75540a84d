-- One or two a stay, with a day and no time.
with stay as (
    select a, subject_id, hadm_id, icd_version, admittime, los_days,
           dealt(getvariable('rows_procedures_icd'), (1e4 * exp(1.2 * normal(hadm_id, 'px')))::bigint, a) as n
    from admission
),
coded as (
    select *, zipf(3000, u(hadm_id, -1 - j)) as rank from (select *, unnest(range(n)) as j from stay)
)
select subject_id, hadm_id, j + 1 as seq_num, later(admittime, los_days * u(hadm_id, j))::date as chartdate,
       icd_code, icd_version
from coded join procedure_code using (icd_version, rank)

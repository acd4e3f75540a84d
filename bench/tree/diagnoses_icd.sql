-- About twelve a stay. The first half are the patient's own and come back, the others belong to the stay.
with stay as (
    select a, subject_id, hadm_id, icd_version,
           dealt(getvariable('rows_diagnoses_icd'), (1e4 * exp(0.4 * normal(hadm_id, 'dx')))::bigint, a) as n
    from admission
),
coded as (
    select *, zipf(6000, u(if(j * 2 < n, subject_id, hadm_id), j)) as rank
    from (select *, unnest(range(n)) as j from stay)
)
select subject_id, hadm_id, j + 1 as seq_num, icd_code, icd_version
from coded join icd using (icd_version, rank)

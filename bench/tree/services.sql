-- Everybody has a first service; one stay in twelve changes it.
with stay as (
    select *, 1 + dealt(getvariable('rows_services') - getvariable('rows_admissions'),
                        (1e4 * exp(1.5 * normal(hadm_id, 'services')))::bigint, a) as n
    from admission
),
served as (
    select *, ['MED', 'MED', 'MED', 'CMED', 'SURG', 'OMED', 'NMED', 'ORTHO', 'CSURG', 'NSURG', 'TRAUM', 'OBS', 'PSYCH',
               'VSURG', 'GYN'] as names
    from (select *, unnest(range(n)) as j2 from stay)
)
select subject_id, hadm_id, later(admittime, los_days * j2 / n + 0.01) as transfertime,
       if(j2 = 0, null, pick(names, u(hadm_id, j2 - 1))) as prev_service, pick(names, u(hadm_id, j2)) as curr_service
from served

-- Reads the record tables and `meds_subject` (the patients of one file). Makes the view `meds_row`: their events, in
-- MEDS's columns and the record's own beside them, so that reading it back gives the same record.
-- An event without a time would be a static fact of the patient: what is dated and has no date isn't written.

create or replace view meds_row as
with p as (select distinct * from patients semi join meds_subject using (subject_id)),
a as (select distinct * from admissions semi join meds_subject using (subject_id)),
-- Codes are billed at discharge: before it, nobody knew them.
billed as (select distinct subject_id, hadm_id, dischtime from a where dischtime is not null),
died as (select subject_id, min(deathtime) as deathtime from a group by subject_id)
select subject_id, null::timestamp as time, 'GENDER//' || gender as code from p
union all by name
select subject_id, null::timestamp as time, 'ANCHOR_AGE' as code, anchor_age as numeric_value from p
union all by name
select subject_id, null::timestamp as time, 'ANCHOR_YEAR' as code, anchor_year as numeric_value from p
union all by name
select subject_id, null::timestamp as time, 'ANCHOR_YEAR_GROUP//' || anchor_year_group as code
from p where anchor_year_group is not null
union all by name
select subject_id, make_timestamp(anchor_year - anchor_age, 1, 1, 0, 0, 0) as time, 'MEDS_BIRTH' as code from p
union all by name
-- The hospital's clock knows the hour, where it agrees with the registry on the day.
select subject_id, if(dod is null or deathtime::date = dod, deathtime, dod::timestamp) as time, 'MEDS_DEATH' as code, dod
from p left join died using (subject_id)
where dod is not null or deathtime is not null
union all by name
select subject_id, admittime as time, hadm_id,
       format('HOSPITAL_ADMISSION//{}//{}', coalesce(admission_type, 'UNK'), coalesce(admission_location, 'UNK')) as code
from a where admittime is not null
union all by name
select subject_id, dischtime as time, hadm_id, 'HOSPITAL_DISCHARGE//' || coalesce(discharge_location, 'UNK') as code,
       deathtime, hospital_expire_flag
from a where dischtime is not null
union all by name
select subject_id, admittime as time, hadm_id, 'INSURANCE//' || insurance as code
from a where insurance is not null and admittime is not null
union all by name
select subject_id, admittime as time, hadm_id, 'RACE//' || race as code
from a where race is not null and admittime is not null
union all by name
select subject_id, edregtime as time, hadm_id, 'ED_REGISTRATION' as code from a where edregtime is not null
union all by name
select subject_id, dischtime as time, hadm_id, format('DIAGNOSIS//ICD//{}//{}', icd_version, icd_code) as code, seq_num
from diagnoses_icd join billed using (subject_id, hadm_id)
union all by name
select subject_id, dischtime as time, hadm_id, format('PROCEDURE//ICD//{}//{}', icd_version, icd_code) as code, chartdate
from procedures_icd join billed using (subject_id, hadm_id)
union all by name
select subject_id, dischtime as time, hadm_id, format('DRG//{}//{}', drg_type, drg_code) as code
from drgcodes join billed using (subject_id, hadm_id)
union all by name
select subject_id, starttime as time, hadm_id, format('MEDICATION//START//{}//UNK', coalesce(drug, 'UNK')) as code,
       drug_type
from prescriptions semi join meds_subject using (subject_id)
where starttime is not null
union all by name
-- A result counts from when it was stored. One that never was is not written.
select subject_id, storetime as time, hadm_id, format('LAB//RESULT//{}//UNK', itemid) as code,
       try_cast(valuenum as float) as numeric_value, valuenum, charttime, flag, labevent_id
from labevents semi join meds_subject using (subject_id)
where storetime is not null
union all by name
select subject_id, transfertime as time, hadm_id, 'SERVICE//' || curr_service as code
from services semi join meds_subject using (subject_id)
where transfertime is not null
union all by name
select subject_id, intime as time, hadm_id, 'TRANSFER_TO//UNK//' || coalesce(careunit, 'UNK') as code
from transfers semi join meds_subject using (subject_id)
where intime is not null
union all by name
select subject_id, intime as time, hadm_id, stay_id, 'ICU_ADMISSION//UNK' as code
from icustays semi join meds_subject using (subject_id)
where intime is not null
union all by name
select subject_id, chartdate::timestamp as time, 'OMR//' || result_name as code, result_value as text_value, seq_num
from omr semi join meds_subject using (subject_id)
where chartdate is not null
union all by name
select subject_id, time, hadm_id, code from other_events semi join meds_subject using (subject_id);

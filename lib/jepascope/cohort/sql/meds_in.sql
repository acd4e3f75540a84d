-- Reads meds_event and meds_code; the variables say which of the record's own columns the directory has.
-- Makes one view per record table, `meds_<table>`, from which it can be written in one pass, and the two small tables
-- that they join: meds_stay (admission to discharge) and meds_patient.

create or replace view meds_coded as
select e.*, c.kind, c.item, c.detail from meds_event e join meds_code c using (code);

-- A stay is an admission with the discharge that names the same hadm_id, else with the next discharge of the patient.
-- An admission that no discharge follows before the next one is still open, and can't be used.
create or replace table meds_stay as
with mark as (
    select distinct subject_id, hadm_id, time, kind, item, detail, deathtime, hospital_expire_flag
    from meds_coded
    where kind in ('admission', 'discharge') and time is not null
),
walked as (
    -- At one moment, a discharge closes the stay before it: 'discharge' sorts after 'admission'.
    select *, lead(time) over following as next_time, lead(kind) over following as next_kind,
           lead(hadm_id) over following as next_hadm_id, lead(item) over following as next_item,
           lead(deathtime) over following as next_deathtime, lead(hospital_expire_flag) over following as next_flag
    from mark
    window following as (partition by subject_id order by time, kind desc, hadm_id)
),
named as (
    select subject_id, hadm_id, min(time) as time, arg_min((item, deathtime, hospital_expire_flag), time) as discharge
    from mark
    where kind = 'discharge' and hadm_id is not null
    group by subject_id, hadm_id
),
paired as (
    select a.subject_id, a.time as admittime, a.detail as admission_location,
           coalesce((select k.admission_type from admission_kind k where k.admission_type = upper(a.item)), 'UNKNOWN')
               as admission_type,
           n.time is null and next_kind = 'discharge' and (a.hadm_id is null or next_hadm_id is null) as is_next,
           coalesce(a.hadm_id, if(is_next, next_hadm_id, null)) as hadm_id,
           if(is_next, next_time, n.time) as dischtime,
           if(is_next, next_item, n.discharge[1]) as discharge_location,
           if(is_next, next_deathtime, n.discharge[2]) as deathtime,
           if(is_next, next_flag, n.discharge[3]) as hospital_expire_flag
    from walked a
    left join named n on n.subject_id = a.subject_id and n.hadm_id = a.hadm_id
    where kind = 'admission'
),
numbered as (
    select * exclude (hadm_id, is_next),
           coalesce(hadm_id, (select coalesce(max(hadm_id), 0) from mark)
                    + row_number() over (partition by hadm_id order by subject_id, admittime, dischtime)) as hadm_id
    from paired
    where dischtime is not null
)
select *,
       -- Stays can overlap: a moment belongs to the one that began last.
       coalesce(lead(admittime) over by_time, 'infinity'::timestamp) as until,
       coalesce(lag(dischtime) over by_time, '-infinity'::timestamp) as since
from numbered
window by_time as (partition by subject_id order by admittime, dischtime, hadm_id);

create or replace table meds_patient as
with fact as (
    select subject_id,
           min(upper(item)) filter (kind = 'gender') as gender,
           min(year(time)) filter (kind = 'birth') as birth_year,
           max(numeric_value) filter (kind = 'anchor_age') as anchor_age,
           max(numeric_value) filter (kind = 'anchor_year') as anchor_year,
           min(item) filter (kind = 'anchor_year_group') as anchor_year_group,
           min(time) filter (kind = 'death') as death,
           if(getvariable('meds_has_dod'), min(dod) filter (kind = 'death'), death::date) as dod
    from meds_coded
    where kind in ('gender', 'birth', 'death', 'anchor_age', 'anchor_year', 'anchor_year_group')
    group by subject_id
)
-- Without an anchor, the age at birth is 0 in the year of birth: the same ages.
select subject_id, gender, anchor_year_group, death, dod,
       if(anchor_age is null or anchor_year is null, 0, anchor_age) as anchor_age,
       if(anchor_age is null or anchor_year is null, birth_year, anchor_year) as anchor_year
from fact
where gender is not null and (birth_year is not null or (anchor_age is not null and anchor_year is not null));

-- An event that names no stay belongs to the one it lies in. What is billed at discharge belongs to the stay that
-- ends there, not to one that begins at the same moment.
create or replace view meds_placed as
select e.* replace (coalesce(e.hadm_id, s.hadm_id) as hadm_id)
from meds_coded e
left join meds_stay s
    on e.hadm_id is null and s.subject_id = e.subject_id
   and e.time >= s.admittime and e.time < s.until and e.time <= s.dischtime;

create or replace view meds_billed as
select e.* replace (coalesce(e.hadm_id, s.hadm_id) as hadm_id), s.dischtime
from meds_coded e
left join meds_stay s
    on e.hadm_id is null and s.subject_id = e.subject_id
   and e.time > s.admittime and e.time <= s.until and e.time <= s.dischtime;

create or replace view meds_patients as from meds_patient;

create or replace view meds_admissions as
with fact as (
    select distinct subject_id, hadm_id, time, kind, item
    from meds_coded
    where kind in ('insurance', 'race', 'ed')
),
said as (
    -- Of one that names no stay: the latest known by discharge, and the last registration that can have led to it.
    select s.hadm_id,
           arg_max(f.item, coalesce(f.time, '-infinity'::timestamp)) filter (f.kind = 'insurance') as insurance,
           arg_max(f.item, coalesce(f.time, '-infinity'::timestamp)) filter (f.kind = 'race') as race,
           max(f.time) filter (f.kind = 'ed') as edregtime
    from meds_stay s
    join fact f on f.subject_id = s.subject_id
    where f.hadm_id = s.hadm_id
       or f.hadm_id is null and (f.time is null or f.time <= s.dischtime)
          and (f.kind != 'ed' or f.time >= s.admittime - interval 2 day and f.time > s.since)
    group by s.hadm_id
)
select s.* replace (moment as deathtime, coalesce(hospital_expire_flag, gone::integer) as hospital_expire_flag),
       insurance, race, edregtime
from (
    select s.*,
           -- A death at midnight is a day and not a moment.
           if(getvariable('meds_has_deathtime'), deathtime,
              case when death between admittime and dischtime and death != death::date then death end) as moment,
           coalesce(discharge_location = 'DIED', false) or moment is not null as gone
    from meds_stay s
    join meds_patient using (subject_id)
) s
left join said using (hadm_id);

-- seq_num 0: the directory doesn't say which diagnosis is the principal one.
create or replace view meds_diagnoses_icd as
select subject_id, hadm_id, coalesce(seq_num, 0) as seq_num,
       upper(replace(item, '.', '')) as icd_code, detail as icd_version
from meds_billed
where kind = 'diagnosis' and hadm_id is not null;

create or replace view meds_procedures_icd as
select subject_id, hadm_id, coalesce(chartdate, time::date) as chartdate,
       upper(replace(item, '.', '')) as icd_code, detail as icd_version
from meds_billed
where kind = 'procedure' and hadm_id is not null;

create or replace view meds_drgcodes as
select subject_id, hadm_id, detail as drg_type, item as drg_code
from meds_billed
where kind = 'drg' and hadm_id is not null;

create or replace view meds_prescriptions as
select subject_id, hadm_id, time as starttime, coalesce(drug_type, 'MAIN') as drug_type, item as drug
from meds_placed
where kind = 'drug' and hadm_id is not null;

-- The time of a result is when it was known. It keeps the hadm_id it has: labs.sql places the others. Within a file,
-- the row number tells two results of one moment apart.
create or replace view meds_labevents as
select coalesce(labevent_id, file_row_number) as labevent_id, subject_id, hadm_id,
       if(kind = 'lab', item, code) as itemid,
       coalesce(charttime, time) as charttime, time as storetime, coalesce(valuenum, numeric_value) as valuenum, flag
from meds_coded
where time is not null and (kind = 'lab' or (kind = 'unknown' and numeric_value is not null));

create or replace view meds_services as
select subject_id, hadm_id, time as transfertime, item as curr_service
from meds_placed
where kind = 'service' and hadm_id is not null;

create or replace view meds_transfers as
select subject_id, hadm_id, item as careunit, time as intime from meds_placed where kind = 'transfer';

create or replace view meds_icustays as
select subject_id, hadm_id, stay_id, time as intime from meds_placed where kind = 'icu' and hadm_id is not null;

create or replace view meds_omr as
select subject_id, coalesce(chartdate, time::date) as chartdate, coalesce(seq_num, 1) as seq_num, item as result_name,
       coalesce(text_value, numeric_value::varchar) as result_value
from meds_coded
where kind = 'omr';

create or replace view meds_other_events as
select subject_id, hadm_id, time, code
from meds_placed
where kind = 'other' or (kind = 'unknown' and (numeric_value is null or time is null));

-- Reads patients, admissions, diagnoses_icd, code_meaning, remission_code, icustays, services and patient_hash.
-- Makes `stay` (every possible hospital stay: labels look at these), `attrition`, and `encounter` (what is kept).
-- Each rule reads the admission itself and what came before it, never what comes after. A row that names another
-- patient's admission belongs to nobody: all joins are by patient and admission.

-- F codes without those that swamp "any F code" in a general hospital.
create table f_core_code as
select icd_version, icd_code, 'f_core' as name
from code_meaning m
where name = 'f_code'
  and not exists (from code_meaning o where o.icd_version = m.icd_version and o.icd_code = m.icd_code
                                        and o.name in ('tobacco', 'neurocognitive'))
  and not exists (from remission_code r where r.icd_version = m.icd_version
                                          and regexp_matches(bare_code(m.icd_code), '^(' || r.pattern || ')'));

create table coded as
select subject_id, hadm_id,
       max(icd_version) as icd_version,
       coalesce(bool_or(m.name = 'f_code'), false) as f_code,
       coalesce(bool_or(m.name = 'f_code' and seq_num = 1), false) as f_principal,
       coalesce(bool_or(m.name = 'f_core'), false) as f_core,
       coalesce(bool_or(m.name = 'crisis' and seq_num = 1), false) as crisis_principal,
       coalesce(bool_or(m.name = 'self_harm'), false) as self_harm
from diagnoses_icd
left join (from code_meaning union all by name from f_core_code) m using (icd_version, icd_code)
group by subject_id, hadm_id;

create table ruled as
with facts as (
    select a.*, p.gender, p.anchor_year, p.anchor_year_group, p.dod, h.sampled, h.split,
           p.anchor_age + year(a.admittime) - p.anchor_year as age,
           min(a.deathtime) over so_far as first_deathtime
    from (select distinct * from admissions) a
    join (select distinct * from patients) p using (subject_id)
    join patient_hash h using (subject_id)
    window so_far as (partition by a.subject_id order by a.admittime, a.dischtime, a.hadm_id
                      rows between unbounded preceding and current row)
)
select facts.*,
       c.icd_version, coalesce(c.f_code, false) as f_code, coalesce(c.f_principal, false) as f_principal,
       coalesce(c.f_core, false) as f_core, coalesce(c.crisis_principal, false) as crisis_principal,
       coalesce(c.self_harm, false) as self_harm,
       i.icu_intime,
       s.hadm_id is not null and coalesce(s.psych_time <= dischtime, true) as psych_service,
       -- MIMIC-IV's own rule of inclusion, read at this stay: the emergency department (whatever the admission was
       -- called and wherever it says the patient came from), or an ICU.
       coalesce(admission_location = 'EMERGENCY ROOM' or edregtime <= dischtime or icu_intime <= dischtime, false)
           as qualifies,
       dischtime > admittime as has_length,
       -- Organ donors are admitted after death. Both clocks: the registry's day, and a death in hospital.
       coalesce(admittime::date <= dod, true) and coalesce(admittime <= first_deathtime, true) as is_alive,
       age >= getvariable('min_age') as is_old_enough,
       c.hadm_id is not null or not getvariable('require_diagnosis') as is_coded
from facts
left join coded c using (subject_id, hadm_id)
left join (
    select subject_id, hadm_id, min(intime) as icu_intime from icustays group by subject_id, hadm_id
) i using (subject_id, hadm_id)
left join (
    select subject_id, hadm_id, min(transfertime) as psych_time
    from services
    where curr_service = 'PSYCH'
    group by subject_id, hadm_id
) s using (subject_id, hadm_id);

create table attrition as
select * from (
    select 0 as step, 'all admissions' as rule, count(distinct subject_id) as patients, count(*) as encounters
    from ruled
    union all
    select 1, 'discharged after being admitted', count(distinct subject_id), count(*)
    from ruled where has_length
    union all
    select 2, 'not admitted after death', count(distinct subject_id), count(*)
    from ruled where has_length and is_alive
    union all
    select 3, format('at least {:g} years old at admission', getvariable('min_age')), count(distinct subject_id), count(*)
    from ruled where has_length and is_alive and is_old_enough
    union all
    select 4, if(getvariable('require_diagnosis'), 'at least one coded diagnosis', 'with or without a coded diagnosis'),
           count(distinct subject_id), count(*)
    from ruled where has_length and is_alive and is_old_enough and is_coded
    union all
    select 5, 'patient within the cap, by keyed hash of the subject id', count(distinct subject_id), count(*)
    from ruled where has_length and is_alive and is_old_enough and is_coded and sampled
) order by step;

create table stay as select * from ruled where has_length and is_alive;

create table encounter as
select row_number() over (order by subject_id, admittime, dischtime, hadm_id) - 1 as row_id,
       row_number() over so_far - 1 as k,
       -- From the latest discharge so far, as stays can overlap, or lie one in another; then the gap is 0.
       -- (`greatest` alone would skip a null.)
       case when k > 0 then greatest(0, epoch(admittime - max(dischtime) over (
           so_far rows between unbounded preceding and 1 preceding)) / 86400) end as gap_days,
       epoch(dischtime - admittime) / 86400 as los_days,
       coalesce(icu_intime <= dischtime, false) as icu,
       bool_or(f_code) over (so_far rows between unbounded preceding and current row) as f_code_so_far,
       bool_or(f_principal) over (so_far rows between unbounded preceding and current row) as f_principal_so_far,
       bool_or(f_principal and psych_service)
           over (so_far rows between unbounded preceding and current row) as f_psych_service_so_far,
       bool_or(f_core) over (so_far rows between unbounded preceding and current row) as f_core_so_far,
       bool_or(qualifies) over (so_far rows between unbounded preceding and current row) as qualified_so_far,
       * exclude (has_length, is_alive, is_old_enough, is_coded, sampled, first_deathtime)
from stay
where is_old_enough and is_coded and sampled
window so_far as (partition by subject_id order by admittime, dischtime, hadm_id)
order by row_id;

-- Reads stay, encounter and the reference tables. Makes `label`: one row per encounter.
-- t is the end of the episode: the latest discharge so far, as stays can overlap. Days are calendar days from t.
-- A question with horizon H is answered only where t + H is certainly within the data, whatever the answer is: so a
-- missing label tells nothing of the outcome, and an answer reads (t, t + H] and nothing else. What is said of an
-- admission as a whole (its type, its codes, its service) counts from the day of that admission.

-- Stays less than two calendar days apart are one episode: a transfer between units or hospitals, not a return.
create table timeline as
with clock as (
    select *,
           row_number() over so_far as seq,
           max(dischtime) over (so_far rows between unbounded preceding and current row) as t,
           -- The registry can know of a death before the discharge that the hospital's flag doesn't.
           coalesce(hospital_expire_flag = 1 or discharge_location = 'DIED' or dod < dischtime::date, false) as died
    from stay
    window so_far as (partition by subject_id order by admittime, dischtime, hadm_id)
),
chained as (
    select *,
           coalesce(admittime::date - (lag(t) over so_far)::date > 1, true) as opens_episode
    from clock
    window so_far as (partition by subject_id order by seq)
)
select *,
       sum(opens_episode::int) over (partition by subject_id order by seq rows unbounded preceding) as episode,
       coalesce(lead(opens_episode) over (partition by subject_id order by seq), true) as closes_episode,
       if(died, least(coalesce(deathtime, dischtime)::date, dod), null) as death_in_hospital
from chained;

-- What one stay adds to acuity, with the day it shows: the type at admission, the ICU and death when they come.
create table acuity_event as
select subject_id, episode, seq, acuity, admittime::date as day from timeline join admission_kind using (admission_type)
union all
select subject_id, episode, seq, 3, greatest(icu_intime, admittime)::date from timeline where icu_intime <= dischtime
union all
select subject_id, episode, seq, 4, death_in_hospital from timeline where died;

create table reached as
select subject_id, seq, max(max(acuity)) over (partition by subject_id, episode order by seq) as acuity
from acuity_event
group by subject_id, episode, seq;

create table crisis as
select s.subject_id, s.admittime::date as day
from timeline s
join admission_kind a using (admission_type)
where s.psych_service or (a.acuity = 2 and (s.crisis_principal or s.self_harm));

create table death as
select distinct subject_id, dod as day from timeline where dod is not null
union
select subject_id, death_in_hospital from timeline where died;

create table episode as
select subject_id, episode, min(admittime)::date as first_day, max(t)::date - min(admittime)::date as length,
       coalesce(arg_min(unplanned, seq), false) as unplanned
from timeline
left join admission_kind using (admission_type)
group by subject_id, episode;

-- What lies behind and ahead of each encounter, before any horizon is asked.
create table outlook as
select e.row_id, e.f_code_so_far, s.subject_id, s.episode, s.t::date as day,
       -- Dates are shifted per patient: all we know of the real day is the three-year group of the anchor year. The
       -- anchor year's first day is at the latest the group's last one, so from there the days to t are counted.
       -- A source without groups has real dates, or no known end.
       make_date(getvariable('data_end_year')::int, 12, 31)
       - if(s.anchor_year_group is null, s.t::date,
            make_date(right(s.anchor_year_group, 4)::int, 12, 31) + (s.t::date - make_date(s.anchor_year, 1, 1))::int)
       as follow_up_days,
       r.acuity,
       n.first_day - s.t::date as next_days,
       n.unplanned as next_unplanned,
       n.length as next_length,
       (select min(day) from death d where d.subject_id = s.subject_id and d.day >= s.t::date)
       - s.t::date as death_days,
       case when r.acuity = 4 then 'died'
            when not s.closes_episode then 'transfer'
            when s.discharge_location = 'AGAINST ADVICE' then 'against_advice'
            when s.discharge_location = 'ACUTE HOSPITAL' then 'acute_hospital'
            when s.discharge_location = 'HOSPICE' and not getvariable('hospice_is_eligible') then 'hospice'
            when s.age < 18 then 'under_18'
            else 'eligible' end as reason
from timeline s
join encounter e using (hadm_id)
left join reached r on r.subject_id = s.subject_id and r.seq = s.seq
left join episode n on n.subject_id = s.subject_id and n.episode = s.episode + 1;

-- One question each, with its horizon in days. Whom a question isn't put to, or isn't answered for, has no row.

create macro asked(days) as table
select * from outlook where reason = 'eligible' and follow_up_days >= days;

-- The next episode opens with an unplanned admission.
create macro readmission(days) as table
select row_id, coalesce(next_days <= days and next_unplanned, false) as answer from asked(days);

create macro readmission_or_death(days) as table
select row_id, answer or coalesce(death_days <= days, false) as answer
from readmission(days) join outlook using (row_id);

-- The next episode rises above this one, and it shows within the horizon. Above the ICU there is no step but death.
create macro escalation(days) as table
select o.row_id, coalesce(max(a.acuity) > o.acuity, false) as answer
from asked(days) o
left join acuity_event a on a.subject_id = o.subject_id and a.episode = o.episode + 1 and a.day - o.day <= days
where o.acuity < 3
group by o.row_id, o.acuity;

create macro psychiatric_crisis(days) as table
select o.row_id, count(c.day) > 0 as answer
from asked(days) o
left join crisis c on c.subject_id = o.subject_id and c.day - o.day between 2 and days
where o.f_code_so_far
group by o.row_id;

-- Asked of all who left alive, hospice and against advice included. The registry of deaths reaches one year beyond a
-- patient's last discharge: no horizon may be longer. How far it reaches beyond the end of the data isn't published, so
-- certain follow-up is asked of deaths, too.
create macro death_within(days) as table
select row_id, coalesce(death_days <= days, false) as answer
from outlook
where reason not in ('died', 'transfer') and follow_up_days >= days;

-- Conditional on an episode that opens within the horizon; the day after `length` more days settles how long it is.
create macro long_next_stay(days, length) as table
select row_id, next_length > length as answer from asked(days + length + 1) where next_days <= days;

create table label as
select row_id,
       readmission.answer::double as label_30d_per_enc,
       readmission_or_death.answer::double as label_30d_or_death_per_enc,
       escalation.answer::double as label_escalation_per_enc,
       escalation_30d.answer::double as label_escalation_30d_per_enc,
       escalation_180d.answer::double as label_escalation_180d_per_enc,
       crisis.answer::double as label_psych_crisis_per_enc,
       crisis_28d.answer::double as label_psych_crisis_28d_per_enc,
       death_30d.answer::double as label_death_30d_per_enc,
       death_365d.answer::double as label_death_365d_per_enc,
       long_stay.answer::double as label_long_stay_per_enc,
       if(reason = 'eligible' and readmission.answer is null, 'follow_up_uncertain', reason) as eligibility_30d,
       case when reason <> 'eligible' then 'ineligible'
            when readmission.answer is null then 'censored'
            when readmission.answer then 'readmit'
            when readmission_or_death.answer then 'death'
            else 'none' end as outcome_30d,
       next_days::double as days_to_next,
       death_days::double as days_to_death,
       coalesce(next_days <= 30 and next_unplanned, false) as returned_30d,
       acuity::double as acuity,
       follow_up_days::double as follow_up_days
from outlook
left join readmission(30) as readmission using (row_id)
left join readmission_or_death(30) as readmission_or_death using (row_id)
left join escalation(getvariable('escalation_days')) as escalation using (row_id)
left join escalation(30) as escalation_30d using (row_id)
left join escalation(180) as escalation_180d using (row_id)
left join psychiatric_crisis(getvariable('crisis_days')) as crisis using (row_id)
left join psychiatric_crisis(28) as crisis_28d using (row_id)
left join death_within(30) as death_30d using (row_id)
left join death_within(365) as death_365d using (row_id)
left join long_next_stay(365, 7) as long_stay using (row_id)
order by row_id;

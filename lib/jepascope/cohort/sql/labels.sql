-- Reads stay, encounter and the reference tables. Makes `label`: one row per encounter.
-- t is the end of the episode: the latest discharge so far, as stays can overlap. d counts calendar days from t.
-- A label's value reads (t, t + H] only; whether an unanswered one is 0 or unknown reads, besides, if the patient is
-- ever seen after t + H.

-- Stays less than two calendar days apart are one episode: a transfer between units or hospitals, not a return.
create table timeline as
with clock as (
    select *,
           row_number() over so_far as seq,
           max(dischtime) over (partition by subject_id order by admittime, dischtime, hadm_id
                                rows between unbounded preceding and current row) as t,
           coalesce(hospital_expire_flag = 1 or discharge_location = 'DIED', false) as died
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
       coalesce(lead(opens_episode) over (partition by subject_id order by seq), true) as closes_episode
from chained;

-- What one stay adds to acuity, with the day it shows: the type at admission, the ICU and death when they come.
create table acuity_event as
select subject_id, episode, acuity, admittime::date as day from timeline join admission_kind using (admission_type)
union all
select subject_id, episode, 3, greatest(icu_intime, admittime)::date from timeline where icu_intime <= dischtime
union all
select subject_id, episode, 4, coalesce(deathtime, dischtime)::date from timeline where died;

create table crisis as
select s.subject_id, s.admittime::date as day
from timeline s
join admission_kind a using (admission_type)
where s.psych_service or (a.acuity = 2 and (s.crisis_principal or s.self_harm));

create table label as
with follow_up as (
    -- Dates are shifted per patient: all we know of the real day is the three-year group of the anchor year. The
    -- anchor year's first day is at the latest the group's last one, so from there the days to t are counted.
    select subject_id, hadm_id,
           make_date(getvariable('data_end_year'), 12, 31) - make_date(right(anchor_year_group, 4)::int, 12, 31)
           - (t::date - make_date(anchor_year, 1, 1)) as follow_up_days
    from timeline
),
outlook as (
    select s.subject_id, s.hadm_id, s.t::date as day, f.follow_up_days,
           s.dod - s.t::date as death_days,
           n.admittime::date - s.t::date as next_days,
           last_seen.day - s.t::date as seen_days,
           nk.unplanned as next_unplanned,
           (select max(acuity) from acuity_event e
            where e.subject_id = s.subject_id and e.episode = s.episode) as acuity,
           (select max(acuity) from acuity_event e
            where e.subject_id = s.subject_id and e.episode = s.episode + 1
              and e.day - s.t::date <= getvariable('escalation_days')) as next_acuity,
           exists (select 1 from crisis c
                   where c.subject_id = s.subject_id
                     and c.day - s.t::date between 2 and getvariable('crisis_days')) as has_crisis,
           case when not s.closes_episode then 'transfer'
                when s.died then 'died'
                when s.discharge_location = 'AGAINST ADVICE' then 'against_advice'
                when s.discharge_location = 'ACUTE HOSPITAL' then 'acute_hospital'
                when s.discharge_location = 'HOSPICE' then 'hospice'
                when s.age < 18 then 'under_18'
                else 'eligible' end as reason
    from timeline s
    join follow_up f using (hadm_id)
    left join timeline n on n.subject_id = s.subject_id and n.seq = s.seq + 1
    left join admission_kind nk on nk.admission_type = n.admission_type
    join (select subject_id, max(admittime)::date as day from timeline group by subject_id) last_seen
        on last_seen.subject_id = s.subject_id
),
answered as (
    -- Each event is true, false, or unknown (null) where the patient may have come back unseen.
    select *,
           case when next_days <= 30 then next_unplanned
                when next_days > 30 or death_days <= 30 or follow_up_days >= 30 then false end as readmitted,
           case when next_days <= getvariable('escalation_days') then next_acuity > acuity
                when next_days is not null or death_days <= getvariable('escalation_days')
                     or follow_up_days >= getvariable('escalation_days') then false end as escalated,
           case when has_crisis then true
                when seen_days > getvariable('crisis_days') or death_days <= getvariable('crisis_days')
                     or follow_up_days >= getvariable('crisis_days') then false end as in_crisis
    from outlook
)
select e.row_id, a.follow_up_days,
       if(reason = 'eligible', readmitted, null)::double as label_30d_per_enc,
       if(reason = 'eligible' and acuity < 3, escalated, null)::double as label_escalation_per_enc,
       if(reason = 'eligible' and e.f_code_so_far, in_crisis, null)::double as label_psych_crisis_per_enc,
       if(reason = 'eligible' and readmitted is null, 'censored', reason) as eligibility_30d
from encounter e
join answered a using (hadm_id)
order by row_id;

-- Reads row (our labelled encounters), told (ACES' labels), stay (the admissions as delivered). Makes `compared`: a row
-- for each (subject_id, t) that either side labels, and the first rule, if any, by which the two definitions part there.

create table ahead as
-- What follows each discharge by the raw table alone, without a label of either side.
select t.subject_id, t.t,
       bool_or((s.admittime < t.t + interval 48 hour) <> (s.admittime::date - t.t::date < 2)
               or (s.admittime <= t.t + interval 30 day) <> (s.admittime::date - t.t::date <= 30)) as day_rounding,
       not arg_min(s.unplanned, s.admittime)
           and bool_or(s.unplanned and s.admittime::date - t.t::date <= 30) as planned_first,
       bool_or(s.is_void and s.admittime::date - t.t::date <= 30) as void_return
from (select subject_id, t from row union select subject_id, t from told) t
join stay s on s.subject_id = t.subject_id and s.admittime > t.t
group by t.subject_id, t.t;

create table overlap as
select distinct t.subject_id, t.t
from (select subject_id, t from row union select subject_id, t from told) t
join stay s on s.subject_id = t.subject_id and s.admittime <= t.t and s.dischtime > t.t;

create table compared as
select row.label as ours, told.label as aces,
       case when overlap.t is not null then 'stays overlap: an episode ends at its latest discharge'
            when coalesce(day_rounding, false) then 'days are counted by calendar here, as durations there'
            when coalesce(planned_first, false) then 'a planned return comes first'
            when coalesce(void_return, false) then 'a return that is no stay: discharged before admitted, or after death'
            when row.reason in ('follow_up_uncertain', 'under_18', 'transfer', 'died') then 'not labelled here: ' || row.reason
            when row.subject_id is null then 'not an encounter here'
       end as reason
from row
full join told using (subject_id, t)
left join ahead using (subject_id, t)
left join overlap using (subject_id, t)
where row.label is not null or told.label is not null;

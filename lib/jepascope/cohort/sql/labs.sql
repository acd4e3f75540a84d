-- Reads labevents, omr and encounter. Makes `lab`: the last known value of each item in each encounter.

-- A quarter of the rows name no admission. A moment belongs to the stay that began last of those that contain it; stays
-- can lie one in another, so a patient's time is cut wherever a stay begins or has ended.
create table stay_segment as
with point as (
    select subject_id, admittime as since from encounter
    union
    select subject_id, dischtime + interval 1 microsecond from encounter
)
select p.subject_id, p.since, arg_max(e.row_id, (e.admittime, e.hadm_id)) as row_id
from point p
left join encounter e
    on e.subject_id = p.subject_id and e.admittime <= p.since and p.since <= e.dischtime
group by p.subject_id, p.since;

create table lab as
with placed as (
    select e.row_id, e.dischtime, l.itemid, l.charttime, l.storetime, l.labevent_id, l.valuenum, l.flag
    from labevents l
    join encounter e using (subject_id, hadm_id)
    union all
    select e.row_id, e.dischtime, l.itemid, l.charttime, l.storetime, l.labevent_id, l.valuenum, l.flag
    from (from labevents semi join encounter using (subject_id) where hadm_id is null and storetime is not null) l
    asof join stay_segment s on l.subject_id = s.subject_id and l.charttime >= s.since
    join encounter e on e.row_id = s.row_id
)
select row_id, itemid,
       arg_max(valuenum, (charttime, labevent_id)) filter (where isfinite(valuenum)) as value,
       coalesce(bool_or(flag = 'abnormal'), false) as abnormal
from placed
-- Known means stored by discharge: a result stored later, or never, was not on the screen.
where storetime <= dischtime
group by row_id, itemid;

-- What was measured outside the hospital in the year before: a day without a time counts as its end. Blood pressure is
-- one text, "120/80".
insert into lab
with reading as (
    select subject_id, chartdate + interval '23 hours 59 minutes' as time, seq_num, result_value,
           'OMR ' || trim(regexp_replace(result_name, '\(.*', '')) as item
    from omr
    semi join encounter using (subject_id)
),
part as (
    select subject_id, time, seq_num, item, try_cast(result_value as double) as value from reading
    union all
    select subject_id, time, seq_num, item || ' systolic', try_cast(split_part(result_value, '/', 1) as double)
    from reading where contains(result_value, '/')
    union all
    select subject_id, time, seq_num, item || ' diastolic', try_cast(split_part(result_value, '/', 2) as double)
    from reading where contains(result_value, '/')
)
select row_id, item, arg_max(value, (time, seq_num, value)), false
from part
join encounter e using (subject_id)
where isfinite(value) and time <= dischtime and time > dischtime - interval 365 days
group by row_id, item;

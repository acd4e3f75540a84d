-- Reads labevents and encounter. Makes `lab`: the last known value of each item in each encounter.
-- Known means stored by discharge: a result stored later, or never, was not on the screen.

create table lab as
with placed as (
    select e.row_id, e.dischtime, l.*
    from labevents l
    join encounter e using (subject_id, hadm_id)
    union all
    -- A quarter of the rows name no admission: they belong to the stay in whose interval they were drawn.
    select e.row_id, e.dischtime, l.*
    from (select * from labevents where hadm_id is null) l
    asof join encounter e on l.subject_id = e.subject_id and l.charttime >= e.admittime
    where l.charttime <= e.dischtime
)
select row_id, itemid,
       arg_max(valuenum, (charttime, labevent_id)) filter (where isfinite(valuenum)) as value,
       coalesce(bool_or(flag = 'abnormal'), false) as abnormal
from placed
where storetime <= dischtime
group by row_id, itemid;

-- One row a patient; the anchor is their first visit, and the group says in which real years it was.
with visit as (
    select subject_id, min_by(real_admittime, j) as first_visit, max_by(dischtime, j) as last_discharge, bool_or(died) as died
    from admission group by subject_id
),
dated as (
    select p.*, v.died, v.last_discharge,
           coalesce(first_visit, later(timestamp_s '2008-01-01 00:00:00', u(subject_id, 'first') * 5300)) as real_visit
    from patient p left join visit v using (subject_id)
)
select subject_id, gender, anchor_age, year(later(real_visit, shift_days)) as anchor_year,
       format('{} - {}', 2008 + (year(real_visit) - 2008) // 3 * 3, 2010 + (year(real_visit) - 2008) // 3 * 3)
           as anchor_year_group,
       case when died then last_discharge::date
            when u(subject_id, 'dod') < 0.09 then later(last_discharge, 1 + 365 * u(subject_id, 'dies'))::date end as dod
from dated
order by subject_id

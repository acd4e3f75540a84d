-- Reads candidate and encounter. Makes `vocabulary`: the tokens that enough training patients carry, and the parents
-- of rarer ones where enough carry those. Row order is (kind, token); the order within an encounter follows it.

create table vocabulary as
with carried as (
    select c.token, c.parent, c.kind, e.subject_id
    from candidate c join encounter e using (row_id)
    where e.split = 'train'
),
leaf as (
    select kind, token, count(distinct subject_id) as train_patients from carried group by kind, token
),
-- Sex is exempt from the minimum: an encounter always has a token, whatever else is rare in it.
kept_leaf as (
    select * from leaf where train_patients >= getvariable('min_patients_per_token') and kind != 'sex'
    union all
    select 'sex', s.token, coalesce(leaf.train_patients, 0)
    from (values ('SEX//F'), ('SEX//M')) as s (token) left join leaf using (token)
),
kept_parent as (
    select kind, parent as token, count(distinct subject_id) as train_patients
    from carried anti join kept_leaf using (token)
    where parent is not null
    group by kind, parent
    having count(distinct subject_id) >= getvariable('min_patients_per_token')
)
select row_number() over (order by position, token) as token_id, token, kind, train_patients
from (from kept_leaf union all from kept_parent)
join token_kind using (kind)
order by token_id;

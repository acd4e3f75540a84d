-- Reads kept_leaf and parent_count. Makes `vocabulary`: the tokens that enough training patients carry, and the parents
-- of rarer ones where enough carry those. Row order is (kind, token); the order within an encounter follows it.

create table vocabulary as
with kept_parent as (
    select kind, token, sum(train_patients) as train_patients
    from parent_count anti join kept_leaf using (token)
    group by kind, token
    having sum(train_patients) >= getvariable('min_patients_per_token')
)
select row_number() over (order by position, token) as token_id, token, kind, train_patients::bigint as train_patients
from (from kept_leaf union all from kept_parent)
join token_kind using (kind)
order by token_id;

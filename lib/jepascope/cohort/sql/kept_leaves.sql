-- Reads leaf_count. Makes `kept_leaf`: the tokens that enough training patients carry.
-- Sex is exempt from the minimum: an encounter always has a token, whatever else is rare in it.

create table kept_leaf as
select kind, token, sum(train_patients) as train_patients
from leaf_count
where kind != 'sex'
group by kind, token
having sum(train_patients) >= getvariable('min_patients_per_token')
union all
select 'sex', s.token, coalesce(sum(train_patients), 0)
from (values ('SEX//F'), ('SEX//M')) as s (token) left join leaf_count using (token)
group by s.token;

-- Reads lab_value (lab of all shards), and of it one batch of items. Adds to `decile` the nine cuts of each lab
-- item, from training patients only, and only where enough of them have a value.

insert into decile
select itemid, quantile_cont(value, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) as cuts
from lab_value
where split = 'train' and value is not null and hash(itemid) % getvariable('batches') = getvariable('batch')
group by itemid
having count(distinct subject_id) >= getvariable('min_patients_per_token');

-- Reads candidate (of one shard). Adds to `leaf_count` how many of its training patients carry each token: no patient
-- is in two shards, so the counts add up.

insert into leaf_count
select kind, token, count(distinct subject_id)
from candidate
where split = 'train'
group by kind, token;

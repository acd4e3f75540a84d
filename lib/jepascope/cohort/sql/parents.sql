-- Reads candidate (of one shard) and kept_leaf. Adds to `parent_count` how many of its training patients carry each
-- parent by way of a token that is too rare itself.

insert into parent_count
select kind, parent, count(distinct subject_id)
from candidate anti join kept_leaf using (token)
where split = 'train' and parent is not null
group by kind, parent;

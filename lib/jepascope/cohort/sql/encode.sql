-- Reads candidate and vocabulary. Makes `encoded`: token ids per encounter, each once. A token outside the
-- vocabulary becomes its parent, or nothing.

create or replace table encoded as
select distinct c.row_id::integer as row_id, coalesce(leaf.token_id, parent.token_id)::integer as token_id
from candidate c
left join vocabulary leaf on leaf.token = c.token
left join vocabulary parent on parent.token = c.parent
where coalesce(leaf.token_id, parent.token_id) is not null;

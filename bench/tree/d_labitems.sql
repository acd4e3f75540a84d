-- What an item id names.
select itemid, format('Item {}', rank) as label, 'Blood' as fluid, category from lab_item order by itemid

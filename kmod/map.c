// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping a block as a whole in one fault, where the core maps only a page of it. Writes are tracked by block, so what
 * allows one of its pages to be written allows all.
 *
 * A block of a whole PMD needs none of this: any kernel maps it at once. VM_MIXEDMAP says which mappings are of
 * smaller blocks and want it.
 */
#include <linux/mm.h>

#include "compat.h"
#include "kvoff.h"

#define KVOFF_MAP_BATCH		16

/* For mappings of blocks of so many pages, when they are made. */
vm_flags_t kvoff_map_flags(unsigned int order)
{
	return kvoff_core_maps_folios || order >= PMD_SHIFT - PAGE_SHIFT ? 0 : VM_MIXEDMAP;
}

/**
 * struct kvoff_map - the part of a block that a mapping covers
 * @vma:	the mapping
 * @folio:	the block's frame, locked
 * @first:	its first page there
 * @nr:		pages
 * @addr:	where the first of them is mapped
 */
struct kvoff_map {
	struct vm_area_struct *vma;
	struct folio *folio;
	unsigned long first;
	unsigned long nr;
	unsigned long addr;
};

static void kvoff_map_part(struct kvoff_map *map, const struct vm_fault *vmf, struct folio *folio)
{
	struct vm_area_struct *vma = vmf->vma;
	pgoff_t block = round_down(vmf->pgoff, folio_nr_pages(folio));
	pgoff_t begin = max(block, vma->vm_pgoff);
	pgoff_t end = min(block + folio_nr_pages(folio), vma->vm_pgoff + vma_pages(vma));

	map->vma = vma;
	map->folio = folio;
	map->first = begin - block;
	map->nr = end - begin;
	map->addr = vma->vm_start + ((begin - vma->vm_pgoff) << PAGE_SHIFT);
}

/* Map for reading what is not mapped; false for want of memory. */
static bool kvoff_map_pages_of(const struct kvoff_map *map)
{
	struct page *pages[KVOFF_MAP_BATCH];
	unsigned long at = 0, nr, left, i;
	int ret;

	while (at < map->nr) {
		nr = min(map->nr - at, (unsigned long)KVOFF_MAP_BATCH);
		for (i = 0; i < nr; i++)
			pages[i] = folio_page(map->folio, map->first + at + i);
		left = nr;
		ret = vm_insert_pages(map->vma, map->addr + (at << PAGE_SHIFT), pages, &left);
		at += nr - left;
		if (ret == -EBUSY)
			/* mapped already */
			at++;
		else if (ret)
			return false;
	}
	return true;
}

static int kvoff_map_make_writable(pte_t *ptep, unsigned long addr, void *data)
{
	const struct kvoff_map *map = data;
	pte_t pte = ptep_get(ptep);

	if (pte_present(pte) && !pte_write(pte) && pfn_folio(pte_pfn(pte)) == map->folio)
		set_pte_at(map->vma->vm_mm, addr, ptep, pte_mkwrite_novma(pte_mkyoung(pte_mkdirty(pte))));
	return 0;
}

/**
 * kvoff_map_block - map a good block as a whole
 * @vmf:	the fault on one of its pages
 * @folio:	its frame, locked: nobody unmaps it meanwhile
 * @write:	for writing, which the mapping allows and the block has taken note of
 *
 * False if that is the core's task, or there is no memory for page tables.
 */
bool kvoff_map_block(struct vm_fault *vmf, struct folio *folio, bool write)
{
	struct kvoff_map map;

	if (!(vmf->vma->vm_flags & VM_MIXEDMAP))
		return false;
	kvoff_map_part(&map, vmf, folio);
	/* a write to what is mapped for reading finds most of the block mapped */
	if (!(write && pte_present(vmf->orig_pte)) && !kvoff_map_pages_of(&map))
		return false;
	return !write || !kvoff_apply_to_ptes(vmf->vma->vm_mm, map.addr, map.nr << PAGE_SHIFT, kvoff_map_make_writable,
					      &map);
}

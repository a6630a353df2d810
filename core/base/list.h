#ifndef POSTROOM_BASE_LIST_H
#define POSTROOM_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Intrusive doubly linked ring: a head and nodes embedded in objects. A node
 * that is in no list points at itself or is zeroed. */
struct list {
	struct list *prev, *next;
};

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}
static inline bool
list_empty(const struct list *l)
{
	return l->next == l || l->next == NULL;
}
static inline void
list_insert_before(struct list *at, struct list *node)
{
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}
static inline void
list_push_back(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}
static inline void
list_push_front(struct list *head, struct list *node)
{
	list_insert_before(head->next, node);
}
/* Safe on a node that is in no list. */
static inline void
list_remove(struct list *node)
{
	if (node->next != NULL) {
		node->prev->next = node->next;
		node->next->prev = node->prev;
	}
	list_init(node);
}

/* Loops over the nodes; the body may remove and free the current one. */
#define LIST_FOREACH(node, head)                                                          \
	for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
		node = node##_next, node##_next = node->next)

#endif

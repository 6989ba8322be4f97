"""Where corpora come from: MOSEI's files, their synthetic twin, folders of recordings. All of them end as a Corpus."""

"""Why a model scores what it does: errors and their cost, two results compared, faults of a data set."""

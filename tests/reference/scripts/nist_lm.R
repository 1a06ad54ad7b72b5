# What R's lm makes of the sets of NIST in tests/reference/nist: Rscript nist_lm.R > ../nist/r_lm.json, in this folder.
# tol is lm's own (1e-7), which leaves columns of Filip's polynomial out; and 1e-12, with which it keeps them.
library(jsonlite)
names <- c("norris", "pontius", "noint1", "noint2", "filip", "longley", paste0("wampler", 1:5))
one <- function(name, tol) {
  case <- fromJSON(file.path("..", "nist", paste0(name, ".json")))
  data <- as.data.frame(lapply(case$data, as.numeric))
  formula <- as.formula(gsub("**", "^", case$formula, fixed = TRUE))
  found <- suppressWarnings(coef(summary(lm(formula, data, tol = tol)), complete = TRUE))
  list(estimate = sprintf("%.17g", found[, 1]), standard_deviation = sprintf("%.17g", found[, 2]))
}
out <- list(source = R.version.string)
for (name in names) out[[name]] <- list(lm = one(name, 1e-7), lm_tol = one(name, 1e-12))
cat(toJSON(out, auto_unbox = FALSE, pretty = TRUE), "\n")

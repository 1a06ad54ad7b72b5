## Bias-reduced estimates (Firth 1993) by brglm2, written to ../bias_reduction/brglm2.json. Run in this folder.
source("./lib.R"); suppressMessages(library(brglm2))
CONTROL <- list(epsilon = 1e-13, maxit = 5000, type = "AS_mean", transformation = "log", slowit = 1)
cases <- list()
add <- function(name, frame, formula, family, links, fit, dispersion = NULL, weights = NULL, offset = NULL) {
  b <- coef(fit); v <- sqrt(diag(vcov(fit)))[seq_along(b)]
  cases[[name]] <<- list(data = frame, formula = formula, family = family, links = links, weights = weights, offset = offset,
    params = forcearr(unname(b)), bse = forcearr(unname(v)), dispersion = dispersion, llf = as.numeric(logLik(fit)))
}
br <- function(formula, family, data, ...) do.call(glm, list(formula, family = family, data = data, method = "brglm_fit", control = CONTROL, ...))

data(endometrial)
for (link in c("logit", "probit", "cloglog"))
  add(paste0("endometrial_", link), endometrial, "HG ~ NV + PI + EH", "bernoulli", list(p = link), br(HG ~ NV + PI + EH, binomial(link), endometrial))
data(lizards)
liz <- data.frame(grahami = lizards$grahami, opalinus = lizards$opalinus, tall = as.integer(lizards$height) - 1, thick = as.integer(lizards$diameter) - 1, shady = as.integer(lizards$light) - 1, noon = as.integer(lizards$time == "midday"), late = as.integer(lizards$time == "late"))
for (link in c("logit", "probit", "cloglog"))
  add(paste0("lizards_", link), liz, "cbind(grahami, opalinus) ~ tall + thick + shady + noon + late", "binomial", list(p = link),
      br(cbind(grahami, opalinus) ~ tall + thick + shady + noon + late, binomial(link), liz))
wb <- data.frame(breaks = warpbreaks$breaks, A = as.integer(warpbreaks$wool == "A"), M = as.integer(warpbreaks$tension == "M"), H = as.integer(warpbreaks$tension == "H"), exposed = rep(1:6, 9))
for (link in c("log", "sqrt"))
  add(paste0("warpbreaks_", link), wb, "breaks ~ A + M + H + A:M + A:H", "poisson", list(mu = link), br(breaks ~ A + M + H + A:M + A:H, poisson(link), wb))
add("warpbreaks_offset", wb, "breaks ~ A + M + H + offset(np.log(exposed))", "poisson", list(mu = "log"), br(breaks ~ A + M + H + offset(log(exposed)), poisson, wb))
zeros <- data.frame(y = c(0, 0, 0, 0, 3, 5, 2, 4), g = c(0, 0, 0, 0, 1, 1, 1, 1))
add("zeros_poisson", zeros, "y ~ g", "poisson", list(mu = "log"), br(y ~ g, poisson, zeros))
complete <- data.frame(y = c(0, 0, 0, 1, 1, 1), x = 1:6, w = c(2, 1, 3, 1, 2, 5))
for (link in c("logit", "probit", "cloglog", "cauchit"))
  add(paste0("complete_", link), complete, "y ~ x", "bernoulli", list(p = link), br(y ~ x, binomial(link), complete))
add("complete_weights", complete, "y ~ x", "bernoulli", list(p = "logit"), br(y ~ x, binomial, complete, weights = complete$w), weights = "w")
quasi <- data.frame(y = c(0, 0, 0, 1, 0, 1), x1 = c(0, 0, 1, 1, 0, 0), x2 = c(0, 0, 0, 0, 1, 1))
add("quasi_logit", quasi, "y ~ x1 + x2", "bernoulli", list(p = "logit"), br(y ~ x1 + x2, binomial, quasi))
leuk <- data.frame(time = MASS::leuk$time, present = as.integer(MASS::leuk$ag == "present"), lwbc = log10(MASS::leuk$wbc))
for (link in c("log")) {
  fit <- br(time ~ present + lwbc, Gamma(link), leuk)
  add(paste0("leuk_gamma_", link), leuk, "time ~ present + lwbc", "gamma", list(mu = link), fit, dispersion = fit$dispersion)
}
for (link in c("identity", "log")) {
  fit <- br(mpg ~ wt + hp, gaussian(link), mtcars[c("mpg", "wt", "hp")], start = if (link == "log") c(3.8, -.2, 0) else c(37, -4, 0))
  add(paste0("mtcars_normal_", link), mtcars[c("mpg", "wt", "hp")], "mpg ~ wt + hp", "normal", list(mu = link), fit, dispersion = fit$dispersion)
}
quine <- data.frame(Days = MASS::quine$Days, male = as.integer(MASS::quine$Sex == "M"), slow = as.integer(MASS::quine$Lrn == "SL"), F1 = as.integer(MASS::quine$Age == "F1"), F2 = as.integer(MASS::quine$Age == "F2"), F3 = as.integer(MASS::quine$Age == "F3"))
fit <- brnb(Days ~ male + slow + F1 + F2 + F3, data = quine, link = "log", transformation = "log", type = "AS_mean", epsilon = 1e-13, maxit = 5000)
add("quine_negative_binomial", quine, "Days ~ male + slow + F1 + F2 + F3", "negative_binomial", list(mu = "log"), fit, dispersion = 1 / fit$theta)
set.seed(1)
choice <- data.frame(y = rep(c("a", "b", "c"), c(9, 8, 7)), x = c(1, 3, 2, 5, 4, 6, 2, 3, 1, 4, 6, 5, 7, 6, 8, 5, 4, 9, 10, 11, 9, 12, 10, 13))
fit <- brmultinom(y ~ x, data = choice, ref = "a", type = "AS_mean", epsilon = 1e-13, maxit = 5000)
b <- coef(fit)
cases[["separated_multinomial"]] <- list(data = choice, formula = "y ~ x", family = "multinomial_logit", links = NULL, params = forcearr(c(t(b))), bse = forcearr(sqrt(diag(vcov(fit)))), llf = as.numeric(logLik(fit)))
dir.create("../bias_reduction", showWarnings = FALSE)
writeLines(tj(list(source = src("glm(method = 'brglm_fit', type = 'AS_mean', transformation = 'log')", c("brglm2", "MASS")), cases = cases)), "../bias_reduction/brglm2.json")

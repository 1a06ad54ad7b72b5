source("./lib.R"); suppressMessages({library(bbmle); library(pscl)})
set <- "open"
# africa.csv: the 36 complete cases
af <- read.csv("../../../datasets/africa.csv", stringsAsFactors=FALSE); stopifnot(nrow(af)==36)
new3 <- data.frame(oligarchy=c(0,5,10),pollib=c(0,1,2),parties=c(1,10,62),pctvote=c(20,30,40),popn=c(1,10,100),size=c(10,200,2000),numelec=c(1,5,12),numregim=c(1,2,4))
afsrc <- "R package faraway, data(africa)[, na.omit]"
case_glm("africa_poisson_parties",set,miltcoup~parties,"miltcoup ~ parties",af,"Poisson","log",paste("The R appendix of the lecture (the model it intends): log-link Poisson of miltcoup on parties, 36 complete rows of",afsrc),newdata=new3["parties"],robust=TRUE,datacols=names(af))
case_glm("africa_poisson_full",set,miltcoup~oligarchy+pollib+parties+pctvote+popn+size+numelec+numregim,"miltcoup ~ oligarchy + pollib + parties + pctvote + popn + size + numelec + numregim",af,"Poisson","log","Full numeric model on 36 rows",newdata=new3,robust=TRUE,datacols=names(af))
case_glm("africa_poisson_factor",set,miltcoup~oligarchy+factor(pollib)+parties,"miltcoup ~ oligarchy + C(pollib) + parties",af,"Poisson","log","factor pollib",newdata=new3[c("oligarchy","pollib","parties")],datacols=names(af))
case_glm("africa_poisson_intercept",set,miltcoup~1,"miltcoup ~ 1",af,"Poisson","log","intercept only: exp(b)=mean(y)",datacols="miltcoup",newdata=data.frame(miltcoup=c(0,0,0)))
case_glm("africa_poisson_identity_validstart",set,miltcoup~oligarchy,"miltcoup ~ oligarchy",af,"Poisson","identity","Identity link with a valid start; MLE interior (all mu>0). Expected and observed information differ",start=c(1,.1),newdata=new3["oligarchy"],profile=TRUE,datacols=c("miltcoup","oligarchy"))
case_glm("africa_poisson_sqrt",set,miltcoup~oligarchy+parties,"miltcoup ~ oligarchy + parties",af,"Poisson","sqrt","sqrt link",newdata=new3[c("oligarchy","parties")],profile=FALSE,datacols=c("miltcoup","oligarchy","parties"))
case_lm("africa_normal_parties",set,miltcoup~parties,"miltcoup ~ parties",af,"Normal/OLS of miltcoup on parties",newdata=new3["parties"],robust=TRUE,datacols=names(af))
## identity link on parties: does an interior MLE exist?
## ---- optim traces ----
y <- af$miltcoup; X <- cbind(1,af$parties); cnt <- 0
f <- function(b) { cnt <<- cnt+1; -mean(dpois(y,exp(as.vector(X%*%b)),log=TRUE)) }
tr <- capture.output(o <- optim(c(0,0),f,method="BFGS",hessian=TRUE,control=list(trace=1,REPORT=1)))
gr <- function(b) -drop(crossprod(X,y-exp(drop(X%*%b))))/length(y)
og <- optim(c(0,0),f,gr,method="BFGS",hessian=TRUE)
cap <- function(expr) { w <- character(); e <- NULL; v <- withCallingHandlers(tryCatch(expr,error=function(x){e <<- conditionMessage(x);NULL}),warning=function(x){w <<- c(w,conditionMessage(x));invokeRestart("muffleWarning")}); list(value=v,warnings=w,error=e) }
oi <- cap(optim(c(0,0),function(b) -mean(dpois(y,as.vector(X%*%b),log=TRUE)),method="BFGS"))
oi2 <- cap(optim(c(mean(y),0),function(b) -mean(dpois(y,as.vector(X%*%b),log=TRUE)),method="BFGS",control=list(reltol=1e-14,maxit=1000)))
gi <- cap(glm(miltcoup~parties,poisson(link="identity"),af,control=CTRL))
on <- optim(c(0,0),function(b) -mean(dnorm(y,as.vector(X%*%b),log=TRUE)),method="BFGS",hessian=TRUE)
ob <- cap(optim(par=c(0,0),function(par) -mean(dnorm(y,lambda=par,log=TRUE)),method="BFGS"))
gp <- glm(miltcoup~parties,poisson,af,control=CTRL); gn <- lm(miltcoup~parties,af)
case_raw(list(name="africa_optim_traces",kind="optim",description="optim() results for the R appendix of the lecture. NLL here is the MEAN negative log-likelihood (divide by n): hessian must be multiplied by n=36 before inversion to get the covariance.",
 source=src("optim(par=c(0,0), fn, method='BFGS', hessian=TRUE); fn = -mean(dpois(y, exp(X%*%par), log=TRUE))"),data=list(miltcoup=forcearr(y),parties=forcearr(af$parties)),formula="miltcoup ~ parties",
 expected=list(poisson_log_numeric_gradient=list(par=o$par,value=o$value,counts_fn=unname(o$counts[1]),counts_gr=unname(o$counts[2]),convergence=o$convergence,hessian_of_mean_nll=o$hessian,fn_calls_including_finite_differences_and_hessian=cnt,trace=forcearr(tr),note="loose: reltol 1e-8 and finite-difference gradient, so par agrees with the MLE only to ~1e-4"),
  poisson_log_analytic_gradient=list(par=og$par,value=og$value,counts_fn=unname(og$counts[1]),counts_gr=unname(og$counts[2]),convergence=og$convergence,hessian_of_mean_nll=og$hessian),
  poisson_log_exact=list(par=unname(coef(gp)),mean_nll=-as.numeric(logLik(gp))/36,hessian_of_mean_nll=unname(crossprod(X,fitted(gp)*X))/36,bse_from_inverse_of_n_times_hessian=sqrt(diag(solve(crossprod(X,fitted(gp)*X)))),bse_if_n_is_forgotten=sqrt(diag(solve(crossprod(X,fitted(gp)*X)/36)))),
  identity_link_from_zero=list(error=oi$error,warnings=forcearr(oi$warnings)),
  identity_link_from_mean=list(par=oi2$value$par,mean_nll=oi2$value$value,convergence=oi2$value$convergence,error=oi2$error,n_warnings=length(oi2$warnings),min_fitted=min(drop(X%*%oi2$value$par)),note="numeric optim, loose"),
  glm_poisson_identity=list(error=gi$error,warnings=forcearr(gi$warnings),coef=if(is.null(gi$value)) NULL else unname(coef(gi$value)),deviance=if(is.null(gi$value)) NULL else deviance(gi$value)),
  normal_sd1=list(par=on$par,value=on$value,counts_fn=unname(on$counts[1]),counts_gr=unname(on$counts[2]),hessian_of_mean_nll=on$hessian,exact_par_ols=unname(coef(gn)),exact_value=mean((y-fitted(gn))^2)/2+log(2*pi)/2),
  slide_as_printed=list(call="optim(par=c(0,0), function(par) -mean(dnorm(y, lambda=par, log=TRUE)), method='BFGS')",error=ob$error),
  final_line_mse=list(what="mean((y-yhat)^2)",normal_ols=mean((y-fitted(gn))^2),poisson_log=mean((y-fitted(gp))^2),poisson_log_using_linear_predictor_as_yhat=mean((y-drop(X%*%coef(gp)))^2),poisson_log_at_loose_optim_par=mean((y-exp(drop(X%*%o$par)))^2),intercept_only=mean((y-mean(y))^2)))),set)
## ---- stats4 / bbmle profiles ----
d <- af; nll <- function(b0,b1) -sum(dpois(d$miltcoup,exp(b0+b1*d$parties),log=TRUE))
m1 <- stats4::mle(nll,start=list(b0=0,b1=0),method="BFGS",control=list(reltol=1e-15)); c1 <- suppressMessages(stats4::confint(m1))
m2 <- bbmle::mle2(nll,start=list(b0=0,b1=0),method="BFGS",control=list(reltol=1e-15)); c2 <- bbmle::confint(m2,quietly=TRUE); c2q <- bbmle::confint(m2,method="quad")
c2u <- tryCatch(suppressMessages(bbmle::confint(m2,method="uniroot")),error=function(e) NULL)
cm <- suppressMessages(MASS:::confint.glm(gp))
nl3 <- function(b0,b1,ls) -sum(dnorm(d$miltcoup,b0+b1*d$parties,exp(ls),log=TRUE))
m3 <- bbmle::mle2(nl3,start=list(b0=2,b1=0,ls=log(2)),control=list(reltol=1e-15)); c3 <- bbmle::confint(m3,quietly=TRUE)
case_raw(list(name="africa_mle_profiles",kind="mle",description="stats4::mle and bbmle::mle2 on the africa Poisson and Normal likelihoods; profile CIs by R packages use splines/BFGS profiling, so they agree with the exact root (confint_profile_95 of africa_poisson_parties / africa_normal_parties) only to ~1e-4 relative to the se",
 source=src("stats4::mle(nll, start=list(b0=0,b1=0), method='BFGS'); bbmle::mle2(...); confint()",c("stats4","bbmle","MASS")),data=list(miltcoup=forcearr(d$miltcoup),parties=forcearr(d$parties)),formula="miltcoup ~ parties",
 expected=list(poisson=list(stats4_coef=stats4::coef(m1),stats4_vcov=unname(stats4::vcov(m1)),stats4_confint=unname(c1),mle2_coef=bbmle::coef(m2),mle2_vcov=unname(bbmle::vcov(m2)),mle2_confint_spline=unname(c2),mle2_confint_uniroot=if(is.null(c2u)) NULL else unname(c2u),mle2_confint_quad=unname(c2q),MASS_confint_glm=unname(cm),min=m1@min),
  normal_with_log_sigma=list(mle2_coef=bbmle::coef(m3),mle2_vcov=unname(bbmle::vcov(m3)),mle2_confint_spline=unname(c3)))),set)
## ---- hand examples ----
hw <- data.frame(height=c(158,160,165,168),weight=c(48,53,54,60))
case_lm("heights_normal_mean",set,height~1,"height ~ 1",hw,"Normal mean MLE of four heights; sigma_ml uses /n, sigma_unbiased /(n-1)",datacols="height")
case_glm("heights_exponential",set,height~1,"height ~ 1",hw,"Exponential","log","Exponential iid: rate = 1/mean; se(rate)=rate/sqrt(n); here parameter is log(mean)",datacols="height",extra=list(rate=1/mean(hw$height),se_rate=1/mean(hw$height)/2,scale=mean(hw$height),se_scale=mean(hw$height)/2,log_rate=-log(mean(hw$height)),se_log_rate=.5))
case_lm("heights_ols_noint",set,height~0+weight,"height ~ 0 + weight",hw,"beta = sum(xy)/sum(x^2) = 35054/11629",newdata=data.frame(weight=c(50,55,70)))
case_lm("heights_ols",set,height~weight,"height ~ weight",hw,"with intercept",newdata=data.frame(weight=c(50,55,70)),robust=TRUE)
case_lm("weights_on_heights_noint",set,weight~0+height,"weight ~ 0 + height",hw,"the other direction",newdata=data.frame(height=c(150,160,170)))
case_lm("weights_on_heights",set,weight~height,"weight ~ height",hw,"the other direction, with intercept",newdata=data.frame(height=c(150,160,170)))
bd <- data.frame(y=c(1,1,1,0,1,0,1,1)); case_glm("bernoulli_iid",set,y~1,"y ~ 1",bd,"Bernoulli","logit","p=0.75, n=8",extra=list(p=.75,se_p=sqrt(.75*.25/8)))
## ---- logistic ----
mt <- mtcars; mt$car <- rownames(mtcars)
nl <- data.frame(wt=c(2,2.8,3.5),hp=c(80,110,200))
for (l in c("logit","probit","cloglog")) case_glm(paste0("mtcars_am_",l),set,am~wt+hp,"am ~ wt + hp",mt,"Bernoulli",l,paste("transmission,",l),newdata=nl,robust=l!="cloglog",datacols=c("car","am","wt","hp"))
bw <- birthwt; nb3 <- data.frame(age=c(20,25,35),lwt=c(100,130,180),race=c(1L,2L,3L),smoke=c(0,1,1),ptl=c(0,1,0))
case_glm("birthwt_logit",set,low~age+lwt+factor(race)+smoke,"low ~ age + lwt + C(race) + smoke",bw,"Bernoulli","logit","MASS::birthwt",pk="MASS",newdata=nb3[c("age","lwt","race","smoke")],robust=TRUE,cluster="ftv",datacols=c("low","age","lwt","race","smoke","ftv"))
case_glm("birthwt_logit_interaction",set,low~age*smoke+factor(race),"low ~ age * smoke + C(race)",bw,"Bernoulli","logit","interaction; note patsy puts C(race) columns before age,smoke",pk="MASS",newdata=nb3[c("age","race","smoke")],datacols=c("low","age","lwt","race","smoke"))
## ---- exponential ----
lk <- leuk; lk$lwbc <- log(lk$wbc); lk$logt0 <- log(rep(c(1,2,5),11))
sv <- survreg(Surv(time,rep(1,33))~ag+log(wbc),leuk,dist="exponential",control=survreg.control(rel.tolerance=1e-14,maxiter=100))
case_glm("leuk_exponential",set,time~ag+log(wbc),"time ~ ag + np.log(wbc)",lk,"Exponential","log","MASS::leuk; glm(Gamma(log)) with dispersion 1 gives EXPECTED-information SEs; survreg(dist='exponential') gives OBSERVED-information SEs (bse_observed)",pk=c("MASS","survival"),newdata=data.frame(ag=c("absent","present","present"),wbc=c(1000,10000,50000)),robust=TRUE,datacols=c("time","ag","wbc"),
 extra=list(survreg=list(coef=unname(coef(sv)),se=unname(sqrt(diag(vcov(sv)))),loglik=sv$loglik[2],loglik_null=sv$loglik[1]),r_glm_gamma_traps=list(aic_glm_gamma=AIC(glm(time~ag+log(wbc),Gamma("log"),leuk,control=CTRL)),dispersion_estimated_pearson=summary(glm(time~ag+log(wbc),Gamma("log"),leuk,control=CTRL))$dispersion)))
case_glm("leuk_exponential_factor_only",set,time~ag,"time ~ ag",lk,"Exponential","log","closed form: exp(b) are group means",pk="MASS",newdata=data.frame(ag=c("absent","present","present")),datacols=c("time","ag"))
case_glm("leuk_exponential_inverse",set,time~ag,"time ~ ag",lk,"Exponential","inverse","canonical-type link (1/mu = rate = Xb)",pk="MASS",newdata=data.frame(ag=c("absent","present","present")),datacols=c("time","ag"))
case_glm("leuk_exponential_offset",set,time~ag+log(wbc),"time ~ ag + np.log(wbc)",lk,"Exponential","log","with offset column logt0",pk="MASS",offset="logt0",newdata=data.frame(ag=c("absent","present","present"),wbc=c(1000,10000,50000),logt0=c(0,log(2),log(5))),datacols=c("time","ag","wbc","logt0"))
## ---- Poisson ----
case_glm("warpbreaks_poisson",set,breaks~wool*tension,"breaks ~ wool * tension",warpbreaks,"Poisson","log","2x3 interaction; tension levels are ordered L,M,H (not alphabetical: set the categories)",newdata=data.frame(wool=c("A","B","B"),tension=c("L","M","H")),robust=TRUE)
ins <- Insurance; ins$Group <- factor(ins$Group,ordered=FALSE); ins$Age <- factor(ins$Age,ordered=FALSE); ins$logH <- log(ins$Holders)
case_glm("insurance_poisson_offset",set,Claims~District+Group+Age,"Claims ~ District + Group + Age",ins,"Poisson","log","MASS::Insurance; offset log(Holders). Group and Age are ordered factors in R (contr.poly by default): treatment contrasts used here",pk="MASS",offset="logH",exposure="Holders",newdata=data.frame(District=c("1","2","4"),Group=c("<1l","1-1.5l",">2l"),Age=c("<25","30-35",">35"),Holders=c(100,200,50),logH=log(c(100,200,50))),datacols=c("Claims","District","Group","Age","Holders","logH"),notes="District is a string column ('1'..'4')")
case_glm("quine_poisson",set,Days~Eth+Sex+Age+Lrn,"Days ~ Eth + Sex + Age + Lrn",quine,"Poisson","log","MASS::quine main effects",pk="MASS",newdata=data.frame(Eth=c("A","N","N"),Sex=c("F","M","F"),Age=c("F0","F2","F3"),Lrn=c("AL","SL","AL")),robust=TRUE,cluster="Age")
## ---- OLS ----
case_lm("mtcars_ols",set,mpg~wt+hp+factor(cyl),"mpg ~ wt + hp + C(cyl)",mt,"OLS with factor",newdata=data.frame(wt=c(2,3,4),hp=c(90,150,250),cyl=c(4L,6L,8L)),robust=TRUE,cluster="carb",datacols=c("car","mpg","wt","hp","cyl","carb"))
lg <- longley; names(lg) <- c("GNPdeflator","GNP","Unemployed","ArmedForces","Population","Year","Employed")
case_lm("longley_ols",set,Employed~GNPdeflator+GNP+Unemployed+ArmedForces+Population+Year,"Employed ~ GNPdeflator + GNP + Unemployed + ArmedForces + Population + Year",lg,"R's longley (units of R, not NIST's)",newdata=lg[c(1,8,16),1:6])
## ---- weights / offsets ----
mt$fw <- rep(c(1,2,3,1),8)
case_glm("mtcars_am_logit_freq",set,am~wt+hp,"am ~ wt + hp",mt,"Bernoulli","logit","frequency weights: identical to the frame with rows repeated fw times",weights="fw",weights_kind="frequency",newdata=nl,datacols=c("car","am","wt","hp","fw"))
wb <- warpbreaks; wb$fw <- rep(1:3,18); case_glm("warpbreaks_poisson_freq",set,breaks~wool+tension,"breaks ~ wool + tension",wb,"Poisson","log","frequency weights 1,2,3,...",weights="fw",weights_kind="frequency",newdata=data.frame(wool=c("A","B","B"),tension=c("L","M","H")))
lk$fw <- rep(c(2,1,4),11); case_glm("leuk_exponential_freq",set,time~ag+log(wbc),"time ~ ag + np.log(wbc)",lk,"Exponential","log","frequency weights",weights="fw",weights_kind="frequency",pk="MASS",newdata=data.frame(ag=c("absent","present","present"),wbc=c(1000,10000,50000)),datacols=c("time","ag","wbc","fw"))
case_lm("mtcars_ols_freq",set,mpg~wt+hp,"mpg ~ wt + hp",mt,"Normal with frequency weights (rows repeated)",weights="fw",weights_kind="frequency",newdata=data.frame(wt=c(2,3,4),hp=c(90,150,250)),datacols=c("car","mpg","wt","hp","fw"))
case_lm("mtcars_ols_precision",set,mpg~wt+hp,"mpg ~ wt + hp",mt,"Same weights taken as precision weights (R lm): Var=sigma^2/w; same coefficients, different sigma, SEs and llf",weights="fw",weights_kind="precision",newdata=data.frame(wt=c(2,3,4),hp=c(90,150,250)),datacols=c("car","mpg","wt","hp","fw"))
mt$off <- mt$qsec/4
case_lm("mtcars_ols_offset",set,mpg~wt+hp,"mpg ~ wt + hp",mt,"OLS with offset",offset="off",newdata=data.frame(wt=c(2,3,4),hp=c(90,150,250),off=c(4,4.5,5)),datacols=c("car","mpg","wt","hp","off"))
mt$loff <- (mt$qsec-18)/10; case_glm("mtcars_am_logit_offset",set,am~wt+hp,"am ~ wt + hp",mt,"Bernoulli","logit","with offset",offset="loff",newdata=cbind(nl,loff=c(0,.1,-.1)),datacols=c("car","am","wt","hp","loff"))
## ---- robust / cluster ----
or <- as.data.frame(nlme::Orthodont); or <- data.frame(distance=or$distance,age=or$age,Subject=as.character(or$Subject),Sex=factor(as.character(or$Sex),levels=c("Male","Female")))
case_lm("orthodont_ols_cluster",set,distance~age*Sex,"distance ~ age * Sex",or,"nlme::Orthodont, clusters = Subject (27)",pk="nlme",cluster="Subject",robust=TRUE,newdata=data.frame(age=c(8,10,14),Sex=c("Male","Female","Male")))
ba <- bacteria; ba$yy <- as.numeric(ba$y=="y"); ba$ID <- as.character(ba$ID)
case_glm("bacteria_logit_cluster",set,yy~trt+week,"yy ~ trt + week",ba,"Bernoulli","logit","MASS::bacteria, clusters = ID (50); trt levels placebo,drug,drug+",pk="MASS",cluster="ID",robust=TRUE,newdata=data.frame(trt=c("placebo","drug","drug+"),week=c(0,4,11)),datacols=c("yy","trt","week","ID"))
gt <- lme4::grouseticks; gt$BROOD <- as.character(gt$BROOD); gt$H100 <- gt$HEIGHT/100
case_glm("grouseticks_poisson_cluster",set,TICKS~YEAR+H100,"TICKS ~ YEAR + H100",gt,"Poisson","log","lme4::grouseticks, clusters = BROOD (118); YEAR is a string factor '95','96','97'; HEIGHT in hundreds of m",pk="lme4",cluster="BROOD",robust=TRUE,newdata=data.frame(YEAR=c("95","96","97"),H100=c(4.5,4.8,5)),datacols=c("TICKS","YEAR","H100","BROOD"),notes="YEAR must be read as string")
ki <- survival::kidney; case_glm("kidney_exponential_cluster",set,time~age+sex,"time ~ age + sex",ki,"Exponential","log","survival::kidney times taken as uncensored; clusters = id (38)",pk="survival",cluster="id",robust=TRUE,newdata=data.frame(age=c(20,40,60),sex=c(1,2,2)),datacols=c("time","age","sex","id"))
## ---- separation ----
sep <- function(name,df,desc,kind) { g <- cap(glm(y~x,binomial,df)); g2 <- cap(glm(y~x,binomial,df,control=glm.control(epsilon=1e-14,maxit=100)))
 br <- cap(glm(y~x,binomial,df,method=brglm2::brglm_fit)); 
 case_raw(list(name=name,kind="separation",description=desc,source=src("glm(y ~ x, binomial)","brglm2"),data=df,formula="y ~ x",family="Bernoulli",link="logit",tags=forcearr(c("no_finite_mle")),notes="no finite MLE exists; what R prints is where IRLS stopped. brglm2::detect_separation is defunct since 0.8 (moved to package detectseparation, not installed); separation verified here by the linear programme of Konis (scipy linprog)",
  expected=list(separation=kind,finite_mle=FALSE,sup_llf=if (kind=="complete") 0 else NULL,r_glm_default=list(coef=unname(coef(g$value)),se=unname(sqrt(diag(vcov(g$value)))),deviance=deviance(g$value),iter=g$value$iter,converged=g$value$converged,warnings=forcearr(g$warnings)),r_glm_tight=list(coef=unname(coef(g2$value)),se=unname(sqrt(diag(vcov(g2$value)))),deviance=deviance(g2$value),iter=g2$value$iter,converged=g2$value$converged,warnings=forcearr(g2$warnings)),brglm2_bias_reduced=list(coef=unname(coef(br$value)),se=unname(sqrt(diag(vcov(br$value))))))),set) }
suppressMessages(library(brglm2))
sep("separation_complete",data.frame(x=c(1,2,3,4,5,6),y=c(0,0,0,1,1,1)),"complete separation: y=1 iff x>3.5","complete")
sep("separation_quasi",data.frame(x=c(1,2,3,3,4,5),y=c(0,0,0,1,1,1)),"quasi-complete separation: overlap only at x=3; sup llf = 2*log(1/2)","quasi-complete")
## ---- other families ----
ga <- function(name,y,desc,pk,g) { n <- length(y); m <- mean(y); 
 case_custom(name,set,desc,"gamma ML: MASS::gamma.shape(glm(y~1,Gamma)); own NLL -sum(dgamma(y,shape,scale=mean/shape,log=TRUE))",data.frame(y=y),"y ~ Gamma(shape=k, scale=mu/k), parameters mu (mean), k (shape)",function(p) if (any(p<=0)) 1e10 else -sum(dgamma(y,p[2],scale=p[1]/p[2],log=TRUE)),c(mu=m,shape=m^2/var(y)),pk="MASS",n=n,method="Nelder-Mead",family="Gamma",
  extra=list(MASS_gamma_shape=list(alpha=g$alpha,SE=g$SE)),derived=function(b,V) list(scale=unname(b[1]/b[2]),rate=unname(b[2]/b[1]),se_log_mu=unname(sqrt(V[1,1])/b[1]),se_log_shape=unname(sqrt(V[2,2])/b[2]))) }
g0 <- glm(time~1,Gamma("log"),leuk,control=CTRL); ga("gamma_iid_leuk",leuk$time,"iid Gamma ML on MASS::leuk$time","MASS",gamma.shape(g0,it.lim=100,eps.max=1e-14))
g1 <- glm(time~ag+log(wbc),Gamma("log"),leuk,control=CTRL); gs1 <- gamma.shape(g1,it.lim=100,eps.max=1e-14); Xl <- model.matrix(g1)
case_custom("gamma_regression_leuk",set,"Gamma(log) regression with ML shape; beta equals the exponential/Gamma glm beta, SE of beta from expected info = sqrt(1/shape)*unscaled","glm(time~ag+log(wbc), Gamma('log')); MASS::gamma.shape",lk[c("time","ag","wbc")],"time ~ Gamma(shape=k, mean=exp(Xb)); parameters b, k",function(p) if (p[4]<=0) 1e10 else { mu <- exp(drop(Xl%*%p[1:3])); -sum(dgamma(lk$time,p[4],scale=mu/p[4],log=TRUE)) },c("Intercept"=coef(g1)[[1]],"ag[T.present]"=coef(g1)[[2]],"np.log(wbc)"=coef(g1)[[3]],shape=gs1$alpha),pk="MASS",n=33,formula="time ~ ag + np.log(wbc)",family="Gamma",link="log",extra=list(MASS_gamma_shape=list(alpha=gs1$alpha,SE=gs1$SE),bse_expected_info=setNames(sqrt(c(diag(summary(g1,dispersion=1/gs1$alpha)$cov.scaled),gs1$SE^2)),c("Intercept","ag[T.present]","np.log(wbc)","shape")),r_glm_dispersion_pearson=summary(g1)$dispersion))
nbm <- glm.nb(Days~Eth+Sex+Age+Lrn,quine,control=glm.control(epsilon=1e-14,maxit=200)); Xq <- model.matrix(nbm); pq <- patsy_names(colnames(Xq),nbm$xlevels)
case_custom("negbin_quine",set,"NB2 regression: var = mu + mu^2/theta; alpha = 1/theta (statsmodels)","MASS::glm.nb(Days ~ Eth+Sex+Age+Lrn, quine)",quine,"Days ~ NB(mu=exp(Xb), theta); parameters b, theta",function(p) { th <- p[length(p)]; if (th<=0) return(1e10); -sum(dnbinom(quine$Days,size=th,mu=exp(drop(Xq%*%p[-length(p)])),log=TRUE)) },c(setNames(coef(nbm),pq),theta=nbm$theta),pk="MASS",n=nrow(quine),formula="Days ~ Eth + Sex + Age + Lrn",family="NegativeBinomial",link="log",
  extra=list(glm_nb=list(coef=setNames(unname(coef(nbm)),pq),se_expected_given_theta=setNames(unname(sqrt(diag(vcov(nbm)))),pq),theta=nbm$theta,SE_theta=nbm$SE.theta,twologlik=nbm$twologlik,aic=AIC(nbm),deviance=nbm$deviance,null_deviance=nbm$null.deviance,note="glm.nb's SE of b: expected information given theta; ours (bse): joint observed information. They differ.")),derived=function(b,V) { k <- length(b); list(alpha=unname(1/b[k]),se_alpha=unname(sqrt(V[k,k])/b[k]^2),se_log_theta=unname(sqrt(V[k,k])/b[k])) })
wl <- survreg(Surv(time,rep(1,33))~ag+log(wbc),leuk,dist="weibull",control=survreg.control(rel.tolerance=1e-14,maxiter=200))
wn <- function(t,d,X) function(p) { ls <- p[length(p)]; z <- (log(t)-drop(X%*%p[-length(p)]))/exp(ls); -sum(d*(z-ls-log(t))-exp(z)) }
case_custom("weibull_leuk",set,"Weibull AFT regression, uncensored: log T = Xb + s*W, shape=1/s, scale=exp(Xb); parameters b, log_s (survreg's Log(scale))","survreg(Surv(time)~ag+log(wbc), leuk, dist='weibull')",lk[c("time","ag","wbc")],"Weibull(shape=exp(-log_s), scale=exp(Xb))",wn(lk$time,rep(1,33),Xl),c("Intercept"=coef(wl)[[1]],"ag[T.present]"=coef(wl)[[2]],"np.log(wbc)"=coef(wl)[[3]],log_s=log(wl$scale)),pk="survival",n=33,formula="time ~ ag + np.log(wbc)",family="Weibull",extra=list(survreg=list(coef=unname(coef(wl)),scale=wl$scale,se=unname(sqrt(diag(vcov(wl)))),loglik=wl$loglik[2])),derived=function(b,V) list(shape=unname(exp(-b[4])),se_shape=unname(exp(-b[4])*sqrt(V[4,4]))))
wi <- survreg(Surv(time,rep(1,33))~1,leuk,dist="weibull",control=survreg.control(rel.tolerance=1e-14,maxiter=200))
case_custom("weibull_iid_leuk",set,"iid Weibull ML (shape k, scale lambda)","survreg(Surv(time)~1, leuk, dist='weibull')",lk["time"],"Weibull(shape, scale)",function(p) if (any(p<=0)) 1e10 else -sum(dweibull(lk$time,p[1],p[2],log=TRUE)),c(shape=1/wi$scale,scale=exp(coef(wi)[[1]])),pk="survival",n=33,family="Weibull",extra=list(survreg=list(coef=unname(coef(wi)),scale=wi$scale,se=unname(sqrt(diag(vcov(wi)))),loglik=wi$loglik[2])))
lu <- survival::lung; lu <- na.omit(data.frame(time=lu$time,event=lu$status-1,age=lu$age,sex=lu$sex,ecog=lu$ph.ecog)); Xu <- cbind(1,lu$age,lu$sex,lu$ecog)
wc <- survreg(Surv(time,event)~age+sex+ecog,lu,dist="weibull",control=survreg.control(rel.tolerance=1e-14,maxiter=200))
case_custom("weibull_censored_lung",set,"Right-censored Weibull AFT: llf = sum(event*log f + (1-event)*log S)","survreg(Surv(time,status==2)~age+sex+ph.ecog, lung, dist='weibull'), rows with NA dropped",lu,"Weibull(shape=exp(-log_s), scale=exp(Xb)), right censoring event=0",wn(lu$time,lu$event,Xu),c(Intercept=coef(wc)[[1]],age=coef(wc)[[2]],sex=coef(wc)[[3]],ecog=coef(wc)[[4]],log_s=log(wc$scale)),pk="survival",n=nrow(lu),formula="time ~ age + sex + ecog",family="Weibull",extra=list(survreg=list(coef=unname(coef(wc)),scale=wc$scale,se=unname(sqrt(diag(vcov(wc)))),loglik=wc$loglik[2])))
ec <- survreg(Surv(time,event)~age+sex+ecog,lu,dist="exponential",control=survreg.control(rel.tolerance=1e-14,maxiter=200))
case_custom("exponential_censored_lung",set,"Right-censored exponential regression (log mean = Xb)","survreg(..., dist='exponential')",lu,"Exponential(mean=exp(Xb)), right censoring event=0",function(p) { eta <- drop(Xu%*%p); -sum(-lu$event*eta-lu$time*exp(-eta)) },c(Intercept=coef(ec)[[1]],age=coef(ec)[[2]],sex=coef(ec)[[3]],ecog=coef(ec)[[4]]),pk="survival",n=nrow(lu),formula="time ~ age + sex + ecog",family="Exponential",link="log",extra=list(survreg=list(coef=unname(coef(ec)),se=unname(sqrt(diag(vcov(ec)))),loglik=ec$loglik[2])))
bc <- bioChemists; bc$fem <- factor(as.character(bc$fem),levels=c("Men","Women")); bc$mar <- factor(as.character(bc$mar),levels=c("Single","Married"))
zi <- zeroinfl(art~fem+mar+kid5+phd+ment|ment,bc,dist="poisson",control=zeroinfl.control(reltol=1e-15,EM=FALSE)); Xz <- model.matrix(zi,"count"); Zz <- model.matrix(zi,"zero")
case_custom("zip_bioChemists",set,"Zero-inflated Poisson: count part log link, inflation part logit link (prob of structural zero)","pscl::zeroinfl(art ~ fem+mar+kid5+phd+ment | ment, bioChemists)",as.data.frame(bc),"P(0)=pi+(1-pi)exp(-mu); mu=exp(Xb), pi=logit^-1(Zg)",function(p) { mu <- exp(drop(Xz%*%p[1:6])); g <- drop(Zz%*%p[7:8]); y <- bc$art; -sum(ifelse(y==0,log(exp(g)+exp(-mu)),dpois(y,mu,log=TRUE))-log1p(exp(g))) },
  setNames(c(coef(zi,"count"),coef(zi,"zero")),c("Intercept","fem[T.Women]","mar[T.Married]","kid5","phd","ment","inflate_Intercept","inflate_ment")),pk="pscl",n=nrow(bc),formula=list(count="art ~ fem + mar + kid5 + phd + ment",inflate="~ ment"),family="ZIP",profile=FALSE,extra=list(zeroinfl=list(coef=unname(c(coef(zi,"count"),coef(zi,"zero"))),se=unname(sqrt(diag(vcov(zi)))),loglik=zi$loglik,note="zeroinfl's vcov: numerical optim Hessian, ~1e-4 accurate")))
case_custom("normal_location_scale_cars",set,"Heteroscedastic normal: mu=a+b*speed, log sigma = c+d*speed","optim ML, own NLL -sum(dnorm(dist, a+b*speed, exp(c+d*speed), log=TRUE))",cars,"dist ~ Normal(mu=a+b*speed, sigma=exp(c+d*speed))",function(p) -sum(dnorm(cars$dist,p[1]+p[2]*cars$speed,exp(p[3]+p[4]*cars$speed),log=TRUE)),c(Intercept=-10,speed=3.3,sigma_Intercept=1.5,sigma_speed=.07),n=50,formula=list(mu="dist ~ speed",log_sigma="~ speed"),family="NormalLocationScale")
sw <- swiss; sw$prop <- sw$Agriculture/100
case_custom("beta_iid_swiss",set,"iid Beta ML of swiss$Agriculture/100 (shape1, shape2)","optim ML of -sum(dbeta(y,a,b,log=TRUE))",sw["prop"],"Beta(shape1, shape2)",function(p) if (any(p<=0)) 1e10 else -sum(dbeta(sw$prop,p[1],p[2],log=TRUE)),c(shape1=2,shape2=2),n=47,family="Beta",method="Nelder-Mead",derived=function(b,V) list(mean=unname(b[1]/sum(b)),precision=unname(sum(b))))
suppressMessages(library(quantreg)); rl <- rq(dist~speed,tau=.5,data=cars,method="br"); 
case_raw(list(name="laplace_lad_cars",kind="laplace",description="Laplace regression = least absolute deviations; scale b = mean|r|; llf = -n*(log(2b)+1)",source=src("quantreg::rq(dist ~ speed, tau=.5, method='br')","quantreg"),data=cars,formula="dist ~ speed",family="Laplace",link="identity",expected=list(params=c(Intercept=coef(rl)[[1]],speed=coef(rl)[[2]]),scale_ml=mean(abs(resid(rl))),sum_abs_resid=sum(abs(resid(rl))),llf=-50*(log(2*mean(abs(resid(rl))))+1),aic_counting_scale=2*50*(log(2*mean(abs(resid(rl))))+1)+6,nobs=50)),set)
case_raw(list(name="laplace_iid_heights",kind="laplace",description="iid Laplace on c(158,160,165,168,171): location = median 165, b=mean|y-med|",source=src("median()"),data=list(y=forcearr(c(158,160,165,168,171))),formula="y ~ 1",family="Laplace",expected=list(params=c(Intercept=165),scale_ml=mean(abs(c(158,160,165,168,171)-165)),llf=-5*(log(2*mean(abs(c(158,160,165,168,171)-165)))+1),nobs=5)),set)

lr_case("lr_tests_open",set,list(
 list(data=af,from="africa_poisson_full",family="Poisson",link="log",r0="miltcoup~parties",r1="miltcoup~oligarchy+parties+pollib",f0="miltcoup ~ parties",f1="miltcoup ~ oligarchy + parties + pollib"),
 list(data=af,from="africa_poisson_full",family="Normal",link="identity",r0="miltcoup~parties",r1="miltcoup~oligarchy+parties+pollib",f0="miltcoup ~ parties",f1="miltcoup ~ oligarchy + parties + pollib"),
 list(data=warpbreaks,from="warpbreaks_poisson",family="Poisson",link="log",r0="breaks~wool+tension",r1="breaks~wool*tension",f0="breaks ~ wool + tension",f1="breaks ~ wool * tension"),
 list(data=mt,from="mtcars_am_logit",family="Bernoulli",link="logit",r0="am~wt",r1="am~wt+hp",f0="am ~ wt",f1="am ~ wt + hp"),
 list(data=lk,from="leuk_exponential",family="Exponential",link="log",r0="time~ag",r1="time~ag+log(wbc)",f0="time ~ ag",f1="time ~ ag + np.log(wbc)"),
 list(data=mt,from="mtcars_ols",family="Normal",link="identity",r0="mpg~wt",r1="mpg~wt+hp+factor(cyl)",f0="mpg ~ wt",f1="mpg ~ wt + hp + C(cyl)")),"likelihood-ratio tests of nested models")

"""
The three dashboards as tables of panels.

`promql` has the few shapes of expression there are, `panel` what a panel and its queries are, `board` what a dashboard
is and how its panels are laid out. `pins` (with `life`), `traffic` (with `providers`) and `itself` are the dashboards.
Change them, run build.py, and commit both.
"""

"""Advantage estimators and credit assignment, one file each."""

"""Classic models: scikit-learn, XGBoost and LightGBM, as Core ML's classic model types."""

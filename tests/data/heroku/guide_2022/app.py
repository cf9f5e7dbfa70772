import hashlib

import joblib
import pandas as pd
import streamlit as st

model = joblib.load("model.joblib")

USERS = {"admin": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"}


def make_hashes(password):
    return hashlib.sha256(str.encode(password)).hexdigest()


def check_hashes(password, hashed_text):
    return make_hashes(password) == hashed_text


def main():
    st.title("Penguins")
    username = st.sidebar.text_input("User Name")
    password = st.sidebar.text_input("Password", type="password")
    if st.sidebar.checkbox("Login"):
        if username in USERS and check_hashes(password, USERS[username]):
            bill_length = st.number_input("Bill length", value=40.0)
            rows = pd.DataFrame({"bill_length_mm": [bill_length]})
            st.write(model.predict(rows)[0])
        else:
            st.warning("Incorrect Username/Password")


if __name__ == "__main__":
    main()

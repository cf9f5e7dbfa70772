import streamlit as st

st.title("Penguins")

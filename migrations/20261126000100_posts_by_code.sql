-- A post is asked for by the code in its address alone; a handle, also by who bore it before.
create index media_by_shortcode on media (shortcode);
create index profile_names_by_name on profile_names (username);
